"""One process trains in a folder, whatever became of the last one; shown by real processes."""

import json
import re
import signal
import time

import pytest

from atlpa.runs import Run
from tests.reliability.test_signals import FIELDS

PATIENCE = 120
"""Seconds."""


@pytest.fixture
def start(server, tmp_path):
    """``start(name, iterations)`` lets a process of that name train in one folder, whoever else does."""

    def begin(name, iterations):
        (tmp_path / name / "here").mkdir(parents=True)
        fields = {**FIELDS, "training.iterations": iterations, "training.checkpoint_seconds": 300}
        options = [word for field, value in fields.items() for word in ("--set", f"{field}={value}")]
        arguments = ["--config", "digits", "--final", *options, "--output", str(tmp_path / "run")]
        return server.start("train", arguments, tmp_path / name / "here")

    return begin


def steps(folder):
    return [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]


def wait_for_steps(folder, count=2):
    latest = time.monotonic() + PATIENCE
    while not ((folder / "log.jsonl").exists() and len(steps(folder)) >= count):
        assert time.monotonic() < latest, [path.read_text() for path in folder.parent.glob("*/err")]
        time.sleep(0.01)


def test_of_two_that_start_at_once_one_trains(start, tmp_path):
    folder = tmp_path / "run"
    both = [start("one", 20), start("other", 20)]
    said = [process.end() for process in both]
    (refused,) = (errors for status, _, errors in said if status == 2)
    assert sorted(status for status, *_ in said) == [0, 2]
    (line,) = refused.splitlines()
    assert re.search(r"is in the hands of process \d+ on |was begun by another process meanwhile", line)
    assert steps(folder) == list(range(1, 21))
    assert Run.open(folder, trust_code=True).finished
    assert not list(folder.glob("*.lock")) + list(folder.glob("*.half"))


def test_a_second_is_refused_and_a_dead_owner_keeps_nothing(start, tmp_path):
    """It learns who the owner is; when that one is killed without a word, the same command goes on."""
    folder = tmp_path / "run"
    first = start("first", 100_000)
    wait_for_steps(folder)
    status, said, errors = start("second", 100_000).end()
    (line,) = errors.splitlines()
    assert (status, said) == (2, "")
    assert f"{folder} is in the hands of process {first.pid} on " in line
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    (folder / "last.pt.0123abcd.half").write_bytes(b"cut off")
    (folder / "log.jsonl").unlink()  # to see when the next one is at work
    third = start("third", 100_000)
    wait_for_steps(folder)
    assert not list(folder.glob("*.half"))
    assert third.end(signal.SIGTERM)[0] == 143
    assert steps(folder) == list(range(1, len(steps(folder)) + 1))
    assert not list(folder.glob("*.lock"))
