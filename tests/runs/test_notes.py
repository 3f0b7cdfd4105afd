"""What a user is told before a training starts."""

import pytest
import torch

from atlpa.experiment import load
from atlpa.runs.notes import training_notes

CPU = torch.device("cpu")


def notes(config, *changes):
    experiment = load(config, [("model.architecture", "resnet18"), *changes])
    model = experiment.defense.build(experiment.model, 10, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = training_notes(experiment, model, CPU)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return found


def test_values_from_a_small_network_do_not_pass_silently():
    (found,) = notes("flowers", ("defense", "atlpa"))
    assert "terms.tolerant_logit.weight 0.1, terms.attention_map.weight 1;" in found
    assert "at 224×224 from weights 'imagenet' nothing was chosen" in found
    (found,) = notes("flowers", ("defense", "atlpa"), ("defense.terms.tolerant_logit.weight", 0.2))
    assert "tolerant_logit" not in found


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        ("flowers-small", [("defense", "atlpa")]),
        ("flowers", [("defense", "pat")]),
        (
            "flowers",
            [
                ("defense", "atlpa"),
                ("defense.terms.tolerant_logit.weight", 0.2),
                ("defense.terms.attention_map.weight", 2),
            ],
        ),
    ],
)
def test_nothing_to_say(config, changes):
    assert notes(config, *changes) == []


def test_a_map_of_one_place_is_no_map():
    found = notes("digits", ("defense", "atlpa"))
    assert "conv5_x has one place at 32×32: its attention loss is 0" in found
    stages = ("defense.terms.attention_map.stages", ["conv2_x", "conv3_x"])
    assert not any("one place" in line for line in notes("digits", ("defense", "atlpa"), stages))


def test_half_precision_that_the_machine_lacks_is_said_once(monkeypatch):
    monkeypatch.setattr("atlpa.engine.precision.bfloat16_is_fast", lambda _: False)
    half = [("training.precision", "bf16"), ("training.attack.precision", "bf16")]
    found = notes("flowers-small", ("defense", "pat"), *half)
    assert found == ["this cpu has no instructions for bfloat16; bf16 is computed in float32, which is faster here"]


def test_an_epsilon_that_grows_without_an_attack_is_said():
    growing = ("training.epsilon_schedule.warmup", 0.5)
    (found,) = notes("flowers-small", ("defense", "none"), growing)
    assert found == "training.epsilon_schedule: none trains without an attack, so that no ε moves"
    assert notes("flowers-small", ("defense", "pat"), growing) == []


@pytest.mark.parametrize(("shape", "share"), [("cosine", "1.1e-06"), ("one_cycle", "4e-06"), ("step", "0.1")])
def test_an_epsilon_that_falls_is_said(shape, share):
    (found,) = notes("flowers-small", ("defense", "pat"), ("training.epsilon_schedule", shape))
    assert f"with shape {shape} the training attack's ε falls to {share} of itself by the end" in found


def test_a_single_look_to_select_by_is_said():
    select = ("training.select_by", {"name": "pgd", "epsilon": "8/255", "step": "2/255"})
    for every, said in ((1500, True), (750, False)):
        found = notes("flowers-small", ("defense", "pat"), select, ("training.validate_every", every))
        assert any("one look to choose from" in note for note in found) == said


def test_a_defense_without_its_attack_is_said():
    clean = ("defense.adversarial_fraction", 0.0)
    assert "pat as it is set trains on clean images alone, as none does" in notes(
        "flowers-small", ("defense", "pat"), clean
    )
    assert notes("flowers-small", ("defense", "none")) == []


def test_what_surprises_of_the_attack_that_selects_is_said():
    plain = ("training.select_by", {"name": "pgd", "epsilon": "8/255", "step": "2/255"})
    idle = ("training.select_by", {"name": "pgd", "epsilon": "8/255", "step": "1/255", "iterations": 2})
    assert notes("flowers-small", ("defense", "pat"), plain) == []
    (found,) = notes("flowers-small", ("defense", "pat"), idle)
    assert found.startswith("training.select_by: ")
