"""Experiments: found, overridden, resolved, and refused in one line."""

from pathlib import Path

import pytest
import yaml

from atlpa.data import Digits, Flowers17
from atlpa.errors import UserError
from atlpa.experiment import load, parse, shipped_configs


def test_every_shipped_config_loads_with_and_without_its_ending():
    assert {"digits", "flowers", "flowers-small"} <= shipped_configs().keys()
    for name in shipped_configs():
        assert load(name) == load(f"{name}.yaml") == load(str(shipped_configs()[name]))


def test_the_papers_settings():
    """§5.1–5.3 of the paper, value by value."""
    experiment = load("flowers.yaml", [("defense", "atlpa")])
    assert isinstance(experiment.data, Flowers17)
    assert (experiment.data.resize, experiment.data.size, experiment.data.mirror) == (256, 224, True)
    assert (experiment.model.architecture, experiment.model.weights) == ("resnet101", "imagenet")
    training = experiment.training
    assert (training.batch_size, training.iterations, training.learning_rate) == (16, 6000, 0.01)
    assert (training.attack.iterations, training.attack.step, training.attack.epsilon) == (2, 0.125, 0.25)
    assert experiment.defense.adversarial_fraction == 0.5
    assert experiment.for_classes(17).defense.terms["tolerant_logit"].k == 5
    assert experiment.defense.terms["attention_map"].p == 2


def test_learning_rate_decays_by_ten_at_two_thirds():
    training = load("flowers").training
    rates = {step: training.learning_rate_at(step) for step in (0, 3999, 4000, 5999)}
    assert rates == pytest.approx({0: 0.01, 3999: 0.01, 4000: 0.001, 5999: 0.001})


def test_what_is_resolved_reads_back(tmp_path):
    experiment = load("digits", [("defense", "atlpa"), ("training.attack.epsilon", "64/256"), ("seed", 3)])
    text = yaml.safe_dump(experiment.resolved())
    assert parse(yaml.safe_load(text)) == experiment
    path = tmp_path / "other.yaml"
    path.write_text(text)
    assert load(str(path)) == experiment


def test_a_files_stem_names_it(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("data: {name: digits}\nmodel: {architecture: resnet18, weights: none}\ndefense: pat\n")
    experiment = load(str(path))
    assert experiment.name == "mine"
    assert experiment.data == Digits()
    assert str(experiment.folder) == "runs/mine/pat-resnet18-seed0"
    assert str(load(str(path), [("final", True)]).folder) == "runs/mine/pat-resnet18-seed0-final"


def test_parts_follow_from_final():
    development, final = load("digits"), load("digits", [("final", True)])
    assert (development.training_parts, development.judged_part) == (("train",), "validation")
    assert (final.training_parts, final.judged_part) == (("train", "validation"), "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("training.iteratoins", 5)], "training: unknown key 'iteratoins'; did you mean 'iterations'"),
        ([("trainin.iterations", 5)], "unknown key 'trainin'; did you mean 'training'"),
        ([("training.iterations", "many")], r"training\.iterations: .*integer.*given 'many'"),
        ([("training.iterations", True)], r"training\.iterations: .*integer, given True"),
        (
            [("training.attack.epsilon", 64)],
            r"training\.attack\.epsilon: 64 is outside \[0, 1\].*write 64/255",
        ),
        ([("training.attack.epsilon", "a quarter")], "'a quarter' is no number; write 0.25 or 64/256"),
        ([("training.attack.epsilon", "1/0")], "'1/0' is no number"),
        ([("data.name", "flower17")], "data: name: unknown data set 'flower17'; did you mean 'flowers17'"),
        ([("data.root", "/tmp")], "data: unknown key 'root'"),  # digits have no folder
        ([("data.size", 2)], r"data\.size: .*greater than or equal to 8"),
        ([("model.architecture", "resnet19")], r"model\.architecture: .*'resnet18'"),
        ([("seed", -1)], "seed: .*greater than or equal to 0"),
        ([("final", "yes")], "final: .*boolean"),
        ([("name.first", "x")], "name is the value 'digits', not a section"),
    ],
)
def test_mistakes_are_one_line_with_the_way_out(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        load("digits", changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["1e400", "1" * 50, "1e999999999999999999999999999999999999999999"])
def test_numbers_out_of_all_bounds(number):
    with pytest.raises(UserError, match="no number"):
        load("digits", [("training.attack.epsilon", number)])


def test_a_name_is_made_of_any_stem(tmp_path):
    path = tmp_path / "my run.yaml"
    path.write_text("data: {name: digits}\ndefense: none\n")
    assert load(str(path)).name == "my-run"


def test_no_such_config():
    with pytest.raises(UserError, match=r"no file 'flowrs\.yaml', and unknown shipped config 'flowrs'; did you mean"):
        load("flowrs.yaml")


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "no valid YAML"), ("- 1", "holds no experiment"), ("", "no exp")]
)
def test_not_an_experiment(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load(str(path))


@pytest.mark.parametrize("defense", ["trades", "atlpa"])
def test_what_older_versions_wrote_down_is_the_same_experiment(defense):
    """With ``attack_loss`` for the attack, a null for each absent term, and an attack without its name."""
    older = load(str(Path(__file__).parent / "older" / f"experiment-{defense}.yaml"))
    assert older == load("digits", [("defense", defense)])
    assert older.identity() == load("digits", [("defense", defense)]).identity()
