"""Every defense on every kind of network, for two steps on tiny digits."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from atlpa.attacks import PGD
from atlpa.component import validate
from atlpa.data import Digits, load_images
from atlpa.defenses import Defense, load_preset, preset_names
from atlpa.models import ModelSpec
from atlpa.training import Recipe, training_step
from atlpa.training.step import forward

TEN_LINES = """from torch import nn


def make(classes):
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes)),
    )
"""

NETWORKS = {
    "resnet18": {"size": 32},
    "timm:convnext_atto": {"size": 32},
    "mobilenet_v3_small": {"size": 64},
    "timm:vit_tiny_patch16_224": {"size": 64},
    "ten_lines:make": {"size": 32, "stages": {"early": "2", "late": "4"}},
}


@pytest.fixture(autouse=True)
def _ten_lines(monkeypatch, tmp_path):
    (tmp_path / "ten_lines.py").write_text(TEN_LINES)
    monkeypatch.syspath_prepend(str(tmp_path))


def digits(size):
    images = load_images(Digits().index().items("train")[:4], 32, torch.device("cpu"))
    return F.interpolate(images[torch.arange(4)] / 255, size=size), images.labels


@pytest.mark.parametrize("preset", [name for name in preset_names() if name != "ibp"])  # for small networks alone
@pytest.mark.parametrize("name", NETWORKS)
def test_trains(name, preset):
    size, stages = NETWORKS[name]["size"], NETWORKS[name].get("stages")
    defense = validate(Defense, load_preset(preset).fields)
    model = defense.build(ModelSpec(architecture=name, weights="none", stages=stages), 10, seed=0, size=size)
    before = {key: value.clone() for key, value in model.named_parameters()}
    images, labels = digits(size)
    recipe, attack = Recipe(learning_rate=0.01), defense.training_attack(PGD(0.1, 0.05, 1))
    if attack.last_iterate > 1:
        attack = replace(attack, iterations=1)  # further steps would only take longer
    optimizer = recipe.make_optimizer(model)
    for step in range(2):
        result = training_step(model, defense, attack, optimizer, images, labels, torch.Generator().manual_seed(step))
        assert all(torch.isfinite(value) for value in result.terms.values())
    moved = [key for key, value in model.named_parameters() if not torch.equal(value, before[key])]
    assert moved
    assert result.terms.keys() == defense.terms.keys()
    # What no term looks at is not recorded.
    views = forward(model, defense, images, images if defense.needs_adversarial else None, labels)
    stages_seen = views.clean_stages or views.adversarial_stages
    assert bool(stages_seen) == ("attention_map" in defense.terms)


def test_dropout_follows_from_the_steps_generator():
    """A resumed run meets the numbers of the uninterrupted one; the program's own are left alone."""
    weights = []
    for start in (1, 2):
        defense = validate(Defense, load_preset("none").fields)
        model = defense.build(ModelSpec(architecture="mobilenet_v3_small", weights="none"), 10, seed=0)
        torch.manual_seed(start)
        state = torch.get_rng_state()
        step = (model, defense, PGD(0.1, 0.05, 1), Recipe().make_optimizer(model), *digits(64))
        training_step(*step, torch.Generator().manual_seed(5))
        assert torch.equal(torch.get_rng_state(), state)
        weights.append(model.backbone.classifier[3].weight.detach())
    assert torch.equal(*weights)
