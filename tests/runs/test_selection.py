"""Runs that average, select and are extended: both networks kept and judged, resumed bit for bit."""

import json
from pathlib import Path

import pytest
import torch

from atlpa.cli.eval import main as judge
from atlpa.cli.train import main as train
from atlpa.errors import Interrupted, UserError
from atlpa.evaluation import accuracy
from atlpa.experiment import load
from atlpa.records import Training
from atlpa.runs import Run, train_run
from atlpa.training import load_checkpoint
from tests.narrow import NARROW
from tests.runs.test_train_run import SHORT, reproducible, stop_after

SELECT = [
    ("training.averaging", {"decay": 0.5, "warmup": 0}),
    ("training.select_by", {"name": "pgd", "epsilon": "8/255", "step": "4/255", "iterations": 2}),
    ("training.validate_every", 2),
    ("training.schedule", {"shape": "one_cycle"}),
    ("training.epsilon_schedule", {"shape": "constant", "warmup": 0.5}),
    ("training.attack", {"epsilon": "8/255", "step": "8/255", "iterations": 1, "start": "uniform"}),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def selecting(folder, *changes):
    return load("digits", [("defense", "pat"), *SHORT, *SELECT, *changes, ("output", str(folder))])


def quietly(experiment):
    return train_run(experiment, say=lambda _: None)


def looks(run):
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    return {line["step"]: line["validation"]["selection_accuracy"] for line in lines if "validation" in line}


@pytest.mark.parametrize("batchnorm", ["copy", "estimate"])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, monkeypatch, batchnorm):
    change = ("training.averaging.batchnorm", batchnorm)
    straight = quietly(selecting("straight", change))
    with monkeypatch.context() as patched:
        stop_after(3, patched)
        with pytest.raises(Interrupted):
            quietly(selecting("resumed", change))
    resumed = quietly(selecting("resumed", change))
    assert reproducible(resumed) == reproducible(straight)
    assert (resumed.training.selected, resumed.training.network.weights) == (
        straight.training.selected,
        straight.training.network.weights,
    )
    both = [load_checkpoint(run.path_of("last")) for run in (straight, resumed)]
    for name, value in both[0].averaged.items():
        assert torch.equal(value, both[1].averaged[name])
    assert not all(map(torch.equal, both[0].averaged.values(), both[0].model.values()))


def test_the_best_of_all_looks_is_kept_the_earliest_of_equals():
    run = quietly(selecting("run", ("training.iterations", 12), ("training.learning_rate", 0.05)))
    found = looks(run)
    best = max(found.values())
    assert run.training.selected.step == min(step for step, value in found.items() if value == best)
    assert run.training.selected.accuracy == best
    first = run.networks[0]
    assert first.judged == "best"
    assert len(run.networks) == 1 + (run.training.selected.step < 12)
    assert first.network.weights == run.training.selected.weights == load_checkpoint(Path("run/best.pt")).weights_hash


def test_what_is_kept_as_best_does_what_the_log_says():
    """Judged anew, it has the very accuracy that it was selected by; and judging disturbs nothing."""
    from atlpa.data import load_images

    run = quietly(selecting("run"))
    images = load_images(run.read_index(run.training.data).items("validation"), 16, torch.device("cpu"))
    model = run.load_model(torch.device("cpu"))
    assert accuracy(model, images, run.experiment.training.select_by, 0) == run.training.selected.accuracy


def test_both_are_judged_on_the_test_part_and_the_record_says_which(capsys):
    run = quietly(selecting("run", ("training.learning_rate", 1e-6)))  # all looks find the same, and the first is kept
    assert run.training.selected.step == 2
    assert judge(["--run", "run", "--threat", "white", "--eps", "8/255", "--iters", "1", "--limit", "10"]) == 0
    found = [json.loads(path.read_text()) for path in sorted(Path("run/records").glob("*-white-*.json"))]
    assert [record["target"]["checkpoint"] for record in found] == ["best", "last"]
    assert {record["data"]["part"] for record in found} == {"test"}
    printed = capsys.readouterr().out
    assert f"pat {NARROW} best" in printed
    assert f"pat {NARROW} last" in printed


def test_without_a_part_of_its_own_nothing_selects():
    with pytest.raises(UserError, match="select_by: with final the validation part is trained on and cannot select"):
        selecting("run", ("final", True))


def test_how_often_it_looks_tells_selecting_runs_apart():
    quietly(selecting("run"))
    with pytest.raises(UserError, match=r"training\.validate_every"):
        quietly(selecting("run", ("training.validate_every", 3)))


def test_an_extension_to_where_a_run_would_have_come_equals_it(capsys):
    """Where rate and average do not depend on the length, six steps and six more are twelve."""
    constant = [("training.schedule", "constant"), ("training.epsilon_schedule", "constant")]
    whole = quietly(selecting("whole", ("training.iterations", 12), *constant))
    quietly(selecting("half", *constant))
    command = ["--extend", "half", "--set", "training.iterations=12", "--output", "more"]
    assert train(command) == 0
    said = capsys.readouterr().out
    assert "more: going on from half after step 6, with its optimizer and averaged weights" in said
    more = Run.open(Path("more"))
    trained = [line for line in reproducible(more) if "loss" in line]
    assert trained == [line for line in reproducible(whole) if "loss" in line]
    assert more.training.network.weights == whole.training.network.weights
    assert more.experiment.origin.step == 6
    assert train(command) == 0
    assert "more is finished: 12 iterations" in capsys.readouterr().out


def test_an_extension_survives_an_interruption(monkeypatch):
    quietly(selecting("half"))
    command = ["--extend", "half", "--set", "training.iterations=12", "--output"]
    assert train([*command, "straight"]) == 0
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        assert train([*command, "stopped"]) == 128 + 15
    assert train([*command, "stopped"]) == 0
    straight, stopped = (Run.open(Path(name)) for name in ("straight", "stopped"))
    assert reproducible(stopped) == reproducible(straight)
    assert stopped.training.network.weights == straight.training.network.weights
    assert stopped.training.selected == straight.training.selected


def test_an_extension_needs_the_run_as_it_was(capsys):
    run = quietly(selecting("half"))
    fields = run.experiment.resolved()
    other = quietly(selecting("other", ("training.learning_rate", 0.02)))
    assert isinstance(other.training, Training)
    origin = {"run": "other", "step": 6, "weights": run.training.network.weights}
    changes = [("training.iterations", 12), ("origin", origin), ("output", "more")]
    (Path("half.yaml")).write_text(json.dumps({**fields, "output": None}))
    with pytest.raises(UserError, match=r"other/last\.pt is not what this training goes on from"):
        quietly(load("half.yaml", changes))
    assert not Path("more").exists()


def test_initial_weights_from_a_run_are_those_that_are_judged():
    run = quietly(selecting("run"))
    still = [("training.learning_rate", 1e-30), ("training.weight_decay", 0)]
    begun = [("model.weights", "run"), ("output", "tuned"), ("final", True)]
    tuned = quietly(load("digits", [("defense", "none"), *SHORT, *begun, *still]))
    first, then = (one.load_model(torch.device("cpu")) for one in (run, tuned))
    assert torch.allclose(first.backbone[0].weight, then.backbone[0].weight)


def test_epsilon_grows_with_its_schedule_and_the_log_says_so():
    run = quietly(selecting("run", ("training.epsilon_schedule", {"shape": "constant", "warmup": 0.5})))
    lines = [line for line in reproducible(run) if "loss" in line]
    growing = [pytest.approx(8 / 255 / 3), pytest.approx(16 / 255 / 3)]
    assert [line.get("epsilon") for line in lines] == [*growing, *[8 / 255] * 4]
