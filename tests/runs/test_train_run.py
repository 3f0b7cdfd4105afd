"""Runs on disk: resumed bit for bit, refused when they hold something else."""

import json
import signal
from dataclasses import replace
from typing import Literal

import pytest
import torch
import yaml
from PIL import Image

from atlpa.attacks import PGD
from atlpa.data import Digits
from atlpa.defenses import Defense
from atlpa.defenses.classification import CrossEntropy
from atlpa.errors import Interrupted, UserError
from atlpa.experiment import Experiment, load
from atlpa.records import Training
from atlpa.runs import Run, finished_runs, train_run
from atlpa.studies import TrainingStep
from atlpa.training import Recipe, loop, save_checkpoint
from tests.narrow import NARROW

SHORT = [
    *(("training.iterations", 6), ("training.batch_size", 4), ("training.log_every", 1)),
    *(("training.validate_every", 4), ("data.resize", 20), ("data.size", 16), ("model.architecture", NARROW)),
]


def experiment(folder, *changes):
    return load(
        "digits",
        [
            ("defense", "atlpa"),
            *SHORT,
            ("training.attack.start", "uniform"),
            *changes,
            ("output", str(folder)),
        ],
    )


def train_quietly(*arguments):
    return train_run(experiment(*arguments), say=lambda _: None)


def reproducible(run):
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "timing"} for line in lines]


def stop_after(step, monkeypatch):
    """Let the process be asked to stop while a step is computed, as a signal would."""
    real, taken = loop.training_step, []

    def training_step(*arguments, **options):
        taken.append(None)
        if len(taken) == step:
            signal.raise_signal(signal.SIGTERM)
        return real(*arguments, **options)

    monkeypatch.setattr(loop, "training_step", training_step)


@pytest.mark.parametrize("architecture", [NARROW, "resnet18"])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, monkeypatch, architecture):
    change = ("model.architecture", architecture)
    straight = train_quietly(tmp_path / "straight", change)
    with monkeypatch.context() as patched:
        stop_after(3, patched)
        with pytest.raises(Interrupted) as stopped:
            train_quietly(tmp_path / "resumed", change)
    assert (stopped.value.step, stopped.value.signal_number) == (3, signal.SIGTERM)
    assert not Run.open(tmp_path / "resumed").finished
    resumed = train_quietly(tmp_path / "resumed", change)
    assert reproducible(resumed) == reproducible(straight)
    assert resumed.network.weights == straight.network.weights
    momenta = [run.read_checkpoint().optimizer for run in (straight, resumed)]
    for state, again in zip(*momenta, strict=True):
        assert torch.equal(state["momentum_buffer"], again["momentum_buffer"])


def test_lost_steps_are_taken_again(tmp_path, monkeypatch):
    """Killed without a word: the log is ahead of the checkpoint."""
    straight = train_quietly(tmp_path / "straight")
    real, calls = loop.training_step, []

    def dies(*arguments, **options):
        calls.append(None)
        if len(calls) == 5:
            raise ZeroDivisionError
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "training_step", dies)
        with pytest.raises(ZeroDivisionError):
            train_quietly(tmp_path / "killed", ("training.checkpoint_seconds", 0))
    assert Run.open(tmp_path / "killed").read_checkpoint().step == 4
    resumed = train_quietly(tmp_path / "killed")
    assert reproducible(resumed) == reproducible(straight)


def test_log_holds_every_term_and_accuracy(tmp_path):
    lines = [json.loads(line) for line in train_quietly(tmp_path / "run").log_path.read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    for line in steps:
        assert line["terms"].keys() == {"cross_entropy", "tolerant_logit", "attention_map"}
        assert line["loss"] == pytest.approx(sum(line["terms"].values()))
        assert {line["clean_accuracy"], line["adversarial_accuracy"]} <= {0, 0.25, 0.5, 0.75, 1}
        assert line["timing"]["seconds"] > 0
    assert [line["learning_rate"] for line in steps] == pytest.approx([0.01] * 4 + [0.001] * 2)
    watched = [line for line in lines if "validation" in line]
    assert [line["step"] for line in watched] == [4, 6]
    assert watched[0]["validation"].keys() == {"clean_accuracy", "adversarial_accuracy"}


def test_final_trains_on_validation_too_and_never_looks(tmp_path):
    said = []
    run = train_run(experiment(tmp_path / "final", ("final", True)), said.append)
    assert "1438 training images" in said[0]
    assert not any("validation" in line for line in reproducible(run))


def test_a_finished_run_is_found_finished(tmp_path):
    run = train_quietly(tmp_path / "run")
    before = run.checkpoint_path.stat().st_mtime_ns
    said = []
    assert train_run(experiment(tmp_path / "run"), said.append).finished
    assert said == [f"{run.folder} is finished: 6 iterations"]
    assert run.checkpoint_path.stat().st_mtime_ns == before
    record = Training.load(run.training_record)
    assert record.iterations == 6
    assert record.network.weights == run.read_checkpoint().weights_hash
    assert [found.folder for found in finished_runs(tmp_path)] == [run.folder]


def test_another_experiment_in_the_folder_is_refused_key_by_key(tmp_path):
    train_quietly(tmp_path / "run")
    with pytest.raises(
        UserError,
        match=r"another experiment: seed \(0 there, 1 now\), training\.iterations \(6 there, 7 now\)",
    ):
        train_quietly(tmp_path / "run", ("seed", 1), ("training.iterations", 7))
    assert train_quietly(tmp_path / "run", ("training.log_every", 5), ("device", "cpu")).finished


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="exists and is no run"):
        train_quietly(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_output_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is no folder that can be written; choose another --output"):
        train_quietly(tmp_path / "file" / "below")
    with pytest.raises(UserError, match="is no folder that can be written"):
        train_quietly(tmp_path / "file")


def test_a_folder_left_by_a_crash_while_it_was_made_is_used(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "experiment.yaml.half").write_text("name: dig")
    assert train_quietly(tmp_path / "run").finished


def test_resuming_needs_neither_the_initial_weights_nor_takes_other_data(tmp_path, monkeypatch):
    photographs = tmp_path / "photographs"
    for name in "ab":
        (photographs / name).mkdir(parents=True)
        for number in range(5):
            Image.effect_noise((16, 16), 90).save(photographs / name / f"{number}.png")
    weights = tmp_path / "initial.pt"
    torch.save(load("digits", SHORT).model.build(2, 0).backbone.state_dict(), weights)
    data = ("data", {"name": "folder", "root": str(photographs), "resize": 20, "size": 16})
    changes = data, ("defense", "none"), ("model.weights", str(weights))
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        with pytest.raises(Interrupted):
            train_quietly(tmp_path / "run", *changes)
    weights.unlink()
    (photographs / "c").mkdir()
    Image.new("RGB", (16, 16)).save(photographs / "c" / "0.png")
    with pytest.raises(UserError, match="trained on other data than the 11 images of 3 classes found now"):
        train_quietly(tmp_path / "run", *changes)
    (photographs / "c" / "0.png").unlink()
    (photographs / "c").rmdir()
    assert train_quietly(tmp_path / "run", *changes).finished


def test_an_empty_part_is_refused(tmp_path):
    for name in "ab":
        (tmp_path / "photographs" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(tmp_path / "photographs" / name / "0.png")
    data = {"name": "folder", "root": str(tmp_path / "photographs"), "resize": 20, "size": 16}
    with pytest.raises(UserError, match="the validation part holds no images"):
        train_quietly(tmp_path / "run", ("data", data), ("defense", "none"))
    assert not (tmp_path / "run").exists()


def test_a_diverged_training_is_no_result(tmp_path):
    with pytest.raises(UserError, match=r"training diverged by step .* is not finite; try a lower learning rate"):
        train_quietly(tmp_path / "run", ("training.learning_rate", 1e18))
    assert not Run.open(tmp_path / "run").finished
    assert "NaN" not in (tmp_path / "run" / "log.jsonl").read_text()


def test_weights_that_the_last_step_ruined_are_not_saved(tmp_path):
    with pytest.raises(UserError, match=r"training diverged by step 1: .*weight is not finite; try a lower learning"):
        train_quietly(tmp_path / "run", ("training.learning_rate", 1e39), ("training.iterations", 1))
    assert not (tmp_path / "run" / "last.pt").exists()


def test_nothing_is_made_when_the_input_is_wrong(tmp_path):
    with pytest.raises(UserError, match="11 top classes of 10"):
        train_quietly(tmp_path / "run", ("defense.terms.tolerant_logit.k", 11))
    with pytest.raises(UserError, match="no file"):
        train_quietly(tmp_path / "run", ("model.weights", "nowhere.pt"))
    with pytest.raises(UserError, match=r"terms\.attention_map: attention maps of conv6_x .* has conv2_x, conv3_x"):
        train_quietly(tmp_path / "run", ("defense.terms.attention_map.stages", ["conv6_x"]))
    with pytest.raises(UserError, match="device 'cuda:99' cannot be used"):
        train_quietly(tmp_path / "run", ("device", "cuda:99"))
    assert not (tmp_path / "run").exists()


class Louder(CrossEntropy):
    """A term that somebody has written for themselves, which its import path leads to."""

    loudness: float = 2.0


def nameless():
    """A term that no import path leads to."""

    class Hidden(CrossEntropy):
        """Inside a function."""

    return Hidden()


class MyAttack(PGD):
    """An attack of somebody's own."""

    patience: int = 3


class MyDigits(Digits):
    """A data set that no name in a YAML file leads to."""

    name: Literal["mine"] = "mine"


def clean(terms):
    return Defense(name="mine", adversarial_fraction=0, terms=terms)


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("defense", clean({"hidden": nameless()}), "unknown loss term .*nameless.*package.module:attribute"),
        (
            "training",
            Recipe(iterations=1, attack=MyAttack(epsilon=0.2, step=0.1, iterations=2)),
            r"training\.attack: unknown key .patience.",
        ),
        ("data", MyDigits(), "unknown data set 'mine'"),
    ],
)
def test_what_experiment_yaml_could_not_hold_is_refused(tmp_path, section, value, message):
    """Such a run could neither be resumed nor judged: its folder would describe another."""
    usual = experiment(tmp_path / "run")
    fields = {name: getattr(usual, name) for name in usual.__dataclass_fields__}
    with pytest.raises(UserError, match=f"experiment.yaml could not hold this experiment: .*{message}.*training_step"):
        train_run(Experiment(**{**fields, section: value}), say=lambda _: None)
    assert not (tmp_path / "run").exists()


def test_a_term_given_in_python_is_written_by_its_path(tmp_path):
    usual = experiment(tmp_path / "run", ("training.iterations", 1))
    run = train_run(replace(usual, defense=clean({"cross_entropy": Louder(loudness=3)})), say=lambda _: None)
    assert Run.open(run.folder).experiment == run.experiment
    written = yaml.safe_load((run.folder / "experiment.yaml").read_text())["defense"]["terms"]
    assert {name: term["loudness"] for name, term in written.items()} == {f"{__name__}:Louder": 3}


@pytest.fixture
def four_classes(tmp_path):
    """The ``data`` section of a folder with four classes of five small pictures."""
    for number in range(20):
        (tmp_path / "photographs" / "abcd"[number % 4]).mkdir(parents=True, exist_ok=True)
        picture = Image.effect_noise((16, 16), 90)
        picture.save(tmp_path / "photographs" / "abcd"[number % 4] / f"{number}.png")
    return ("data", {"name": "folder", "root": str(tmp_path / "photographs"), "resize": 20, "size": 16})


K = "defense.terms.tolerant_logit.k"


def brief(folder, *changes):
    return experiment(folder, ("training.iterations", 2), *changes)


def test_a_default_that_gave_way_is_written_down_and_resumed(tmp_path, four_classes, monkeypatch):
    usual, said = brief(tmp_path / "run", four_classes), []
    with monkeypatch.context() as patched:
        stop_after(1, patched)
        with pytest.raises(Interrupted):
            train_run(usual, said.append)
    assert "note: defense.terms.tolerant_logit.k is 4, every class there is" in said
    assert Run.open(tmp_path / "run").experiment.identity()[K] == 4
    assert TrainingStep(usual).state() == "to do"
    run = train_run(usual, said.append)
    assert any("resuming after step 1" in line for line in said)
    assert run.training.experiment["defense"]["terms"]["tolerant_logit"]["k"] == 4
    assert TrainingStep(usual).state() == "done"
    for same in (usual, brief(tmp_path / "run", four_classes, (K, 4)), Run.open(run.folder).experiment):
        train_run(same, said.append)
        assert said[-1].endswith("is finished: 2 iterations")
    with pytest.raises(UserError, match=r"another experiment: defense\.terms\.tolerant_logit\.k \(4 there, 3 now\)"):
        train_run(brief(tmp_path / "run", four_classes, (K, 3)), said.append)


def test_a_value_that_was_set_is_not_what_a_default_decides(tmp_path, four_classes):
    train_run(brief(tmp_path / "run", four_classes, (K, 3)), say=lambda _: None)
    with pytest.raises(UserError, match=r"another experiment: defense\.terms\.tolerant_logit\.k \(3 there, 4 now\)"):
        train_run(brief(tmp_path / "run", four_classes))
    for folder in ("run", "other"):
        with pytest.raises(UserError, match="k=5 top classes of 4; k must lie in 2 … 4, or be left out"):
            train_run(brief(tmp_path / folder, four_classes, (K, 5)))
    assert not (tmp_path / "other").exists()


def test_runs_whose_default_was_written_as_a_value_go_on(tmp_path):
    """As all did whose experiment.yaml says k: 5, some of which have no split.json."""
    train_run(brief(tmp_path / "run", (K, 5)), say=lambda _: None)
    usual = brief(tmp_path / "run")
    assert train_run(usual, say=lambda _: None).experiment.identity()[K] == 5
    (tmp_path / "run" / "split.json").unlink()
    assert TrainingStep(usual).state() == "done"


def test_a_checkpoint_of_another_experiment(tmp_path, tiny_run):
    run = train_quietly(tmp_path / "run")
    run.checkpoint_path.write_bytes(tiny_run().checkpoint_path.read_bytes())
    with pytest.raises(UserError, match=r"belongs to another experiment than its folder: data\.resize"):
        Run.open(run.folder).load_model(torch.device("cpu"))


def test_a_checkpoint_that_changed_since(tmp_path):
    run = train_quietly(tmp_path / "run")
    checkpoint = run.read_checkpoint()
    next(iter(checkpoint.model.values()))[0] += 1
    save_checkpoint(checkpoint, run.checkpoint_path)
    with pytest.raises(UserError, match=r"last\.pt has changed since training ended: weights \w{8}, on record \w{8}"):
        Run.open(run.folder).load_model(torch.device("cpu"))


def test_an_unfinished_run_is_not_judged(tmp_path):
    run = train_quietly(tmp_path / "run")
    run.training_record.unlink()
    with pytest.raises(UserError, match="has not finished training"):
        Run.open(run.folder).load_model(torch.device("cpu"))
    assert finished_runs(tmp_path) == []


def test_experiment_yaml_is_complete(tmp_path):
    run = train_quietly(tmp_path / "run")
    fields = yaml.safe_load((run.folder / "experiment.yaml").read_text())
    assert fields == run.experiment.resolved()
    assert fields["training"]["attack"]["start"] == "uniform"
