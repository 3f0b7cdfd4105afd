"""One training in several real processes: what it comes to, what is refused, what becomes of it when one is lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from atlpa.dotted import flattened
from atlpa.errors import Interrupted, UserError
from atlpa.experiment import load
from atlpa.process_group import _first_host, joined, started
from atlpa.processes import Shared
from atlpa.runs import Run, train_run
from atlpa.training import loop
from tests.together import processes

SHORT = [
    *(("training.iterations", 6), ("training.batch_size", 12), ("training.log_every", 2)),
    *(("training.validate_every", 6), ("data.resize", 20), ("data.size", 16)),
    *(("model.architecture", "tests.runs.test_together:without_batchnorm"), ("model.weights", "none")),
    *(("training.attack.start", "uniform"), ("defense", "pat"), ("defense.noise", {"scale": 0.1})),
]


def without_batchnorm(classes):
    """A network that treats each image by itself, so that it is all one in how many parts a batch comes."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, classes))


def train(folder, changes=(), last=None):
    """Train in this process or together with others; it is asked to stop after step ``last``."""
    torch.set_num_threads(1)
    if last is not None:
        real, taken = loop.training_step, []

        def stopping(*arguments, **options):
            taken.append(None)
            if len(taken) == last and os.environ.get("RANK", "0") == "0":  # the others hear of it from the first
                signal.raise_signal(signal.SIGTERM)
            return real(*arguments, **options)

        loop.training_step = stopping
    said = []
    experiment = load("digits", [*SHORT, *changes, ("output", str(folder))])
    try:
        with joined() as here:
            train_run(experiment, said.append, here)
    except (UserError, Interrupted) as error:
        return type(error).__name__, str(error)
    finally:
        if last is not None:
            loop.training_step = real
    return "done", said


def outcome(folder):
    """What a run has come to: weights, and the log without its times."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return Run.open(folder).read_checkpoint().model, [
        {key: value for key, value in line.items() if key != "timing"} for line in lines
    ]


def assert_same(one, other):
    """But for the last bits, in which sums in another order differ."""
    for name, value in outcome(one)[0].items():
        torch.testing.assert_close(value, outcome(other)[0][name], rtol=1e-4, atol=1e-6)
    for line, same in zip(outcome(one)[1], outcome(other)[1], strict=True):
        assert flattened(line) == pytest.approx(flattened(same), rel=1e-3)


def test_two_processes_train_what_one_does(tmp_path):
    assert train(tmp_path / "one")[0] == "done"
    first, second = processes(2, train, tmp_path / "two")
    assert first[0] == second[0] == "done"
    assert any("pat, " in line and "in 2 processes" in line for line in first[1])
    assert second[1] == []  # one speaks
    assert_same(tmp_path / "two", tmp_path / "one")
    assert {path.name for path in (tmp_path / "two").iterdir()} == {
        *("experiment.yaml", "split.json", "last.pt", "log.jsonl", "records")
    }


def test_a_training_goes_on_with_another_number_of_processes_and_in_other_portions(tmp_path):
    assert train(tmp_path / "one")[0] == "done"
    for told in processes(2, train, tmp_path / "many", (), 2):
        assert told == ("Interrupted", "stopped at step 2")
    assert train(tmp_path / "many", [("training.micro_batch", 3)], 2) == ("Interrupted", "stopped at step 4")
    assert [told[0] for told in processes(3, train, tmp_path / "many")] == ["done"] * 3
    assert_same(tmp_path / "many", tmp_path / "one")


def differing(folder, changes):
    """Each process has changes of its own."""
    return train(folder, changes[int(os.environ["RANK"])])


REFUSED = {
    "another experiment": (
        [[], [("seed", 1)]],
        "process 1 of 2 has another experiment than process 0",
    ),
    "other data": (
        [[], [("data.root", "/nowhere"), ("data.name", "flowers17")]],
        "process 1 of 2: no Flowers-17 in /nowhere",
    ),
    "an undivided batch": (
        [[("training.batch_size", 5)]] * 2,
        "training.batch_size 5 is the batch of all 2 processes together, which do not divide it; take 4",
    ),
    "an undivided part": (
        [[("training.micro_batch", 4)]] * 2,
        "training.micro_batch 4 does not divide the 6 images that a process has of a batch; take one of 2, 3, 6",
    ),
    "BatchNorm of one image": (
        [[("training.batch_size", 2), ("model.architecture", "resnet18")]] * 2,
        "BatchNorm cannot take statistics of a single image at a time",
    ),
    "synchronized BatchNorm without GPUs": (
        [[("training.sync_batchnorm", True)]] * 2,
        "torch synchronizes BatchNorm on CUDA alone",
    ),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED)
def test_what_all_processes_refuse_before_a_folder_is_made(tmp_path, changes, words):
    told = processes(2, differing, tmp_path / "run", changes)
    assert told[0] == told[1]
    assert told[0][0] == "Shared"
    assert words in told[0][1]
    assert not (tmp_path / "run").exists()


def elsewhere(folder):
    """The second process sees another file system."""
    if os.environ["RANK"] == "1":
        Run.existing, begun = classmethod(lambda *_: None), folder.with_name("not shared")
        begun.mkdir()
        folder = begun
    return train(folder.name if not folder.is_absolute() else folder)


def test_a_folder_that_not_all_hosts_see(tmp_path):
    told = processes(2, elsewhere, tmp_path / "run")
    assert told[0] == told[1]
    assert told[0][0] == "Shared"
    assert "is not seen here; give an --output on a file system that all hosts share" in told[0][1]


@pytest.mark.parametrize("micro_batch", [5, 8])
def test_micro_batches_that_do_not_divide_the_batch(tmp_path, micro_batch):
    assert train(tmp_path / "run", [("training.micro_batch", micro_batch)]) == (
        "UserError",
        f"training.micro_batch {micro_batch} does not divide the 12 images that a process has of a batch; take one of "
        "2, 3, 4, 6, 12",
    )
    assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_fit_says_what_to_set(tmp_path, monkeypatch):
    def too_large(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "training_step", too_large)
    for changes, words in (
        ([], "does not hold 12 images at a time (CUDA out of memory); set training.micro_batch=6"),
        (
            [("training.micro_batch", 4)],
            "does not hold 4 images at a time (CUDA out of memory); set training.micro_batch=3",
        ),
        ([("training.micro_batch", 2)], "a smaller training.batch_size or data.size needs less"),
    ):
        assert words in train(tmp_path / "run", changes)[1]


def test_a_port_in_use(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        for name, value in {**place, "MASTER_PORT": str(taken.getsockname()[1])}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Shared, match=r"process 0 of 2 cannot meet the others at .* is the port in use"), joined():
            pass


PLACES = {
    "torchrun": (
        {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "29500"},
        (3, 4, 1),
        {},
    ),
    "Slurm": (
        {
            **{"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "123456"},
            "SLURM_STEP_NODELIST": "gpu[03-05,9],cpu1",
        },
        (5, 8, 1),
        {"MASTER_ADDR": "gpu03", "MASTER_PORT": "23456"},
    ),
    "a batch script of Slurm's, which runs once": ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, (0, 1, 0), {}),
    "nobody": ({}, (0, 1, 0), {}),
}


@pytest.mark.parametrize(("variables", "expected", "meeting"), PLACES.values(), ids=PLACES)
def test_who_has_started_the_processes(monkeypatch, variables, expected, meeting):
    monkeypatch.setattr(os, "environ", dict(variables))
    place = started()
    assert (place.rank, place.count, place.local_rank) == expected
    assert {name: os.environ.get(name) for name in meeting} == meeting


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RANK": "x"}, "must all be whole numbers"),
        ({"RANK": None}, "must all be whole numbers"),
        ({"LOCAL_RANK": None}, "must all be whole numbers"),
        ({"WORLD_SIZE": "x"}, "must all be whole numbers"),
        ({"WORLD_SIZE": None, "SLURM_STEP_NUM_TASKS": "2"}, "must all be whole numbers"),
        ({"RANK": "4"}, "contradict each other"),
        ({"RANK": "-1"}, "contradict each other"),
        ({"MASTER_PORT": "0"}, "must say where the processes meet"),
        ({"MASTER_ADDR": None}, "must say where the processes meet"),
    ],
)
def test_variables_that_cannot_be_meant(monkeypatch, changes, words):
    variables = {**PLACES["torchrun"][0], **changes}
    monkeypatch.setattr(os, "environ", {name: value for name, value in variables.items() if value is not None})
    with pytest.raises(UserError, match=words):
        started()


def test_the_first_of_hosts_in_racks():
    assert _first_host("rack[1-2]node[3-4],x") == "rack1node3"


@pytest.mark.parametrize("hosts", ["node7", "node7,node8", "node[7-9]", "node[7,9]", "node[7-9],other[1-2]"])
def test_the_first_of_slurms_hosts(hosts):
    assert _first_host(hosts) == "node7"


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_training_which_goes_on_later(tmp_path, victim):
    """By torchrun, as a user starts it."""
    options = ["training.checkpoint_seconds=0", "training.iterations=100000", "data.resize=20", "data.size=16"]
    command = ["atlpa.cli.train", "--config", "digits", "--output", str(tmp_path / "run")]
    command += [part for option in options for part in ("--set", option)]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--module"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen([*launch, *command], stderr=subprocess.PIPE, text=True, env=environment)
    last = tmp_path / "run" / "last.pt"
    try:
        while not last.exists():
            assert started.poll() is None
            time.sleep(0.1)
        os.kill(rank_of(started.pid, victim), signal.SIGKILL)
    except BaseException:
        started.kill()
        raise
    said = started.communicate()[1]
    assert started.returncode != 0
    # What torchrun tells the others when one is gone may reach them before they find out.
    words = "another process of this training has ended", "interrupted; what is finished is kept"
    lost = [line for line in said.splitlines() if any(word in line for word in words)]
    assert len(lost) == (victim == 1)
    assert Run.open(tmp_path / "run").read_checkpoint().step >= 1


def rank_of(launcher, rank):
    """The process that torchrun has started under a number."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            variables = (folder / "environ").read_text().split("\0")
        except OSError:  # it has ended meanwhile, or is another user's
            continue
        if parent == launcher and f"RANK={rank}" in variables:
            return int(folder.name)
    raise AssertionError(f"no process of rank {rank}")
