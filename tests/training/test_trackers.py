"""Trackers: told what stands in the log, nothing twice, and no training ends because of one."""

import importlib.util
import json
import sys

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from atlpa.cli.train import main
from atlpa.errors import Interrupted, UserError
from atlpa.experiment import load
from atlpa.runs import Run, train_run
from atlpa.training import loop
from tests.runs.test_train_run import stop_after
from tests.together import processes
from tests.training.some_trackers import calls

HERE = "tests.training.some_trackers"
SHORT = [
    *(("training.iterations", 6), ("training.batch_size", 4), ("training.log_every", 1), ("data.size", 16)),
    *(("training.validate_every", 4), ("model.architecture", f"{HERE}:small"), ("model.weights", "none")),
]


@pytest.fixture(autouse=True)
def nothing_yet():
    calls.clear()


def train(folder, *trackers, changes=(), say=lambda _: None):
    return train_run(
        load("digits", [*SHORT, ("training.trackers", list(trackers)), *changes, ("output", str(folder))]), say
    )


def after_a_stop_and_a_death(folder, monkeypatch, tracker):
    """Stopped after step 2, which is saved; killed in step 5, so that the log is two steps ahead; then finished."""
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        with pytest.raises(Interrupted):
            train(folder, tracker)
    real, taken = loop.training_step, []

    def dies(*arguments, **options):
        taken.append(None)
        if len(taken) == 3:
            raise ZeroDivisionError
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "training_step", dies)
        with pytest.raises(ZeroDivisionError):
            train(folder, tracker)
    there = Run.open(folder)
    assert (there.read_checkpoint().step, log(there)[-1]["step"]) == (2, 4)
    return train(folder, tracker)


def told():
    """(step, name) of every number."""
    return [(step, name) for step, *values in calls if isinstance(step, int) for name in values[0]]


def log(run):
    return [json.loads(line) for line in run.log_path.read_text().splitlines()]


def test_nothing_is_told_twice_when_lost_steps_are_taken_again(tmp_path, monkeypatch):
    run = after_a_stop_and_a_death(tmp_path / "run", monkeypatch, f"{HERE}:remembering")
    found = told()
    assert len(found) == len(set(found))
    losses = [
        (step, values["loss"]) for step, *rest in calls if isinstance(step, int) for values in rest if "loss" in values
    ]
    assert losses == [(line["step"], line["loss"]) for line in log(run) if "loss" in line]
    assert [step for step, _ in losses] == [1, 2, 3, 4, 5, 6]
    assert [step for step, name in found if name == "validation/clean_accuracy"] == [4, 6]
    assert [call for call in calls if not isinstance(call[0], int)] == [("begins", "run", 6), ("ends",)] * 3


def test_tensorboard_reads_back_the_log(tmp_path, monkeypatch):
    run = after_a_stop_and_a_death(tmp_path / "run", monkeypatch, "tensorboard")
    events = EventAccumulator(str(run.folder / "tensorboard"), purge_orphaned_data=False).Reload()
    for name, where in {
        "loss": lambda line: line.get("loss"),
        "terms/cross_entropy": lambda line: line.get("terms", {}).get("cross_entropy"),
        "validation/clean_accuracy": lambda line: line.get("validation", {}).get("clean_accuracy"),
    }.items():
        logged = [(line["step"], where(line)) for line in log(run) if where(line) is not None]
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in logged]
        assert [value for _, value in found] == pytest.approx([value for _, value in logged])


def test_one_that_fails_is_said_once_and_costs_nothing(tmp_path):
    said = []
    run = train(tmp_path / "watched", f"{HERE}:failing", f"{HERE}:remembering", say=said.append)
    alone = train(tmp_path / "alone")
    notes = [line for line in said if "told no more" in line]
    assert notes == [f"note: tracker {HERE}:failing is told no more (no route); log.jsonl has everything"]
    assert run.finished
    for name, value in alone.read_checkpoint().model.items():
        assert torch.equal(value, run.read_checkpoint().model[name])
    assert [step for step, name in told() if name == "loss"] == [1, 1, 2, 3, 4, 5, 6]  # of one, and of the other all
    assert calls.count(("ends",)) == 2


def test_one_that_cannot_begin_ends_a_training_before_its_first_step(tmp_path):
    with pytest.raises(UserError, match=f"training.trackers: {HERE}:without_a_key cannot begin: log in first"):
        train(tmp_path / "run", f"{HERE}:remembering", f"{HERE}:without_a_key")
    assert calls == [("begins", "run", 6), ("ends",)]
    assert not (tmp_path / "run" / "log.jsonl").exists()
    assert train(tmp_path / "run").finished  # the same experiment: where numbers go may differ


@pytest.mark.parametrize(
    ("trackers", "words"),
    [
        ("[tensorbord]", "unknown tracker 'tensorbord'; did you mean 'tensorboard'?"),
        ("[tensorboard, tensorboard]", "tracker 'tensorboard' is named twice"),
        ("[sys:path]", "tracker 'sys:path' is a list; give a function of a folder and an experiment"),
        ("tensorboard", "training.trackers: Input should be a valid tuple"),
    ],
)
def test_names_that_are_none(tmp_path, monkeypatch, capsys, trackers, words):
    monkeypatch.chdir(tmp_path)
    assert main(["--config", "digits", "--set", f"training.trackers={trackers}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_asked_for_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert importlib.util.find_spec("tensorboard") is None
    with pytest.raises(UserError, match=r"pip install 'atlpa\[tensorboard\]'"):
        train(tmp_path / "run", "tensorboard")
    assert not (tmp_path / "run").exists()


def in_one_process(folder):
    """What this process's tracker was told."""
    from atlpa.process_group import joined

    torch.set_num_threads(1)
    with joined() as here:
        changes = [*SHORT, ("training.trackers", [f"{HERE}:remembering"]), ("output", str(folder))]
        train_run(load("digits", changes), lambda _: None, here)
    return len(told())


def test_only_the_first_of_several_processes_tells(tmp_path):
    first, second = processes(2, in_one_process, tmp_path / "run")
    assert first > 0
    assert second == 0
