"""A disk, quota or limit that is full while a network is trained: one line, nothing lost, and it goes on."""

import errno
import os

import pytest
import torch
from torch import nn

from atlpa import files
from atlpa.errors import UserError
from atlpa.experiment import load
from atlpa.runs import train_run
from atlpa.runs.lock import run_lock
from atlpa.training import Checkpoint, Recipe, TrainingLog, load_checkpoint, optimizer_state, save_checkpoint
from tests.reliability.forking import at
from tests.reliability.room import room

NAME = "tests.exercises.outside.network:small"
FIELDS = {"training.iterations": 4, "training.batch_size": 4, "training.log_every": 1, "training.checkpoint_seconds": 0,
          "data.resize": 20, "data.size": 16, "model.architecture": NAME, "device": "cpu"}  # fmt: skip
TRAIN = ["--config", "digits", *(word for name, value in FIELDS.items() for word in ("--set", f"{name}={value}")),
         "--output", "run"]  # fmt: skip


def experiment(folder):
    return load("digits", [*FIELDS.items(), ("output", str(folder))])


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The weights and the log's steps of a training with room enough."""
    run = train_run(experiment(tmp_path_factory.mktemp("straight") / "run"), say=lambda _: None)
    return run.network.weights, steps(run.folder)


def steps(folder):
    return [line["step"] for line in TrainingLog(folder / "log.jsonl", 10**6).lines()]


@pytest.mark.parametrize(
    ("place", "call", "limit", "file", "saved"),
    [
        pytest.param("atlpa.runs.train:Run.create", 1, 100, "run/experiment.yaml", None, id="the experiment"),
        pytest.param("atlpa.runs.train:write_split", 1, 1000, "run/split.json", None, id="the split"),
        pytest.param("atlpa.runs.train:TrainingLog.write", 1, 10, "run/log.jsonl", None, id="the first line"),
        pytest.param("atlpa.runs.train:TrainingLog.write", 3, 600, "run/log.jsonl", 2, id="a line in its middle"),
        pytest.param("atlpa.runs.checkpoints:save_checkpoint", 1, 5000, "run/last.pt", None, id="the first checkpoint"),
        pytest.param("atlpa.runs.checkpoints:save_checkpoint", 3, 5000, "run/last.pt", 2, id="a later checkpoint"),
        pytest.param("atlpa.runs.checkpoints:save_checkpoint", 3, 0, "run/last.pt", 2, id="a checkpoint's first byte"),
        pytest.param("atlpa.runs.train:Training", 1, 200, "run/records/training.json", 4, id="the record"),
    ],
)
def test_whatever_finds_no_room_is_named_and_the_same_command_goes_on(
    server, tmp_path, straight, place, call, limit, file, saved
):
    """The kernel lets no file grow beyond a limit, as a full disk does."""
    (tmp_path / "here").mkdir()
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))"
    # What is said goes to a file too, which here has room of its own.
    status, _, errors = server.start("train", TRAIN, tmp_path / "here", at(place, full, call)).end()
    assert status == 2
    if limit > 200:
        (line,) = errors.splitlines()
        assert f"no room to write {file} (File too large)" in line
        assert "make room and repeat the command" in line
    folder = tmp_path / "here" / "run"
    if saved:
        assert load_checkpoint(folder / "last.pt").step == saved
    assert not [path for path in folder.rglob("*") if path.suffix in (".half", ".lock")]
    resumed = train_run(experiment(folder), say=lambda _: None)
    assert (resumed.network.weights, steps(folder)) == straight


@pytest.fixture
def checkpoint():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = Recipe().make_optimizer(network)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return Checkpoint(1, ("a", "b"), "", {}, network.state_dict(), optimizer_state(optimizer))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=errno.errorcode.get)
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_checkpoint_that_finds_room_for_a_part_leaves_the_one_before(
    checkpoint, tmp_path, monkeypatch, number, share
):
    path = tmp_path / "last.pt"
    save_checkpoint(checkpoint, path)
    before = path.read_bytes()
    room = [int(share * len(before))]

    class Full(files._Watched):
        def write(self, content):
            if not room[0]:
                raise OSError(number, os.strerror(number))
            written = super().write(memoryview(content)[: room[0]])
            room[0] -= written
            return written

    monkeypatch.setattr(files, "_Watched", Full)
    with pytest.raises(UserError, match=r"no room to write .*last\.pt .*make room and repeat the command"):
        save_checkpoint(checkpoint, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_that_is_cut_off_is_dropped_when_the_log_is_read(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl", 0)
    log.write(step=1, loss=0.5)
    with room(40), pytest.raises(UserError, match=r"no room to write .*log\.jsonl"):
        log.write(step=2, loss=0.25)
    assert len((tmp_path / "log.jsonl").read_bytes()) == 40
    again = TrainingLog(tmp_path / "log.jsonl", 2)
    again.write(step=2, loss=0.25)
    assert again.lines() == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]


def test_a_log_that_cannot_be_begun_anew_stays(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl", 0)
    for step in (1, 2, 3):
        log.write(step=step, loss=1 / step)
    before = log.path.read_bytes()
    with room(30), pytest.raises(UserError, match=r"no room to write .*log\.jsonl"):
        TrainingLog(log.path, 2)
    assert log.path.read_bytes() == before


def test_a_folder_is_owned_on_a_full_disk_too(tmp_path):
    """The owner's name finds no room; its lock holds."""
    with room(0), run_lock(tmp_path):
        assert (tmp_path / "owner.lock").read_bytes() == b""
        with pytest.raises(UserError, match="is in the hands of another process"), run_lock(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []
