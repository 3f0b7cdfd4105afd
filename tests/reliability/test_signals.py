"""Signals at every moment, and streams that cannot be written: one line, the right status, and the work goes on."""

import os
import signal
import subprocess
import sys

import pytest

from atlpa.experiment import load
from atlpa.runs import Run, train_run
from atlpa.training import loop
from tests.reliability.forking import at

NAME = "tests.exercises.outside.network:small"
FIELDS = {"training.iterations": 4, "training.batch_size": 4, "training.log_every": 1, "training.validate_every": 2,
          "training.checkpoint_seconds": 0, "data.resize": 20, "data.size": 16, "model.architecture": NAME,
          "device": "cpu"}  # fmt: skip
TRAIN = ["--config", "digits", *(word for name, value in FIELDS.items() for word in ("--set", f"{name}={value}")),
         "--output", "run"]  # fmt: skip
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def experiment(folder):
    return load("digits", [*FIELDS.items(), ("output", str(folder))])


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The weights of a training that nothing stops."""
    return train_run(experiment(tmp_path_factory.mktemp("straight") / "run"), say=lambda _: None).network.weights


@pytest.fixture
def here(tmp_path):
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def asked_at(place, number, times=1, call=2, after=False):
    """Python that lets a process be asked to end at some moment, in a folder whose images are not decoded yet."""
    alone = "import os, signal, time; os.environ['ATLPA_CACHE'] = 'cache'"
    ask = f"[(os.kill(os.getpid(), {int(number)}), time.sleep(0.01)) for _ in range({times})]"
    return f"{alone}\n{at(place, ask, call, after=after)}"


MOMENTS = {
    "arguments are read": {"place": "argparse:ArgumentParser.parse_args", "call": 1},
    "the config is read": {"place": "atlpa.cli.train:load", "call": 1},
    "the folder is looked at": {"place": "atlpa.runs.train:Run.existing", "call": 1},
    "images are decoded in threads": {"place": "atlpa.data.index:Item.open", "call": 30},
    "the folder is made": {"place": "atlpa.runs.train:Run.create", "call": 1},
    "the split is written": {"place": "atlpa.runs.train:write_split", "call": 1},
    "the log is begun": {"place": "atlpa.runs.train:TrainingLog", "call": 1},
    "signals begin to be collected": {"place": "atlpa.signals:caught", "call": 1},
    "signals are collected": {"place": "atlpa.signals:caught", "call": 1, "after": True},
    "the first step is taken": {"place": "atlpa.training.loop:training_step", "call": 1},
    "the last step is taken": {"place": "atlpa.training.loop:training_step", "call": 4},
    "the log is written": {"place": "atlpa.training.log:TrainingLog.write", "call": 2},
    "the network is validated": {"place": "atlpa.runs.watching:accuracy", "call": 1},
    "a checkpoint is written": {"place": "atlpa.tensor_files:torch.save", "call": 2},
    "a checkpoint is moved into place": {"place": "pathlib:Path.replace", "call": 5},
    "a thread is waited for": {"place": "threading:Thread.join", "call": 1},
    "the progress ends": {"place": "atlpa.training.loop:Progress.__exit__", "call": 5},
    "the progress has ended": {"place": "atlpa.training.loop:Progress.__exit__", "call": 5, "after": True},
    "the record is written": {"place": "atlpa.runs.train:Training", "call": 1},
}
"""Where the handlers differ, and where files are half-written."""


def assert_ended(said, number):
    status, _, errors = said
    assert status == SIGNALS[number], errors
    (line,) = errors.splitlines()
    assert "interrupted" in line or "the same command again resumes" in line


def assert_goes_on(folder, straight):
    """The same command finishes, and nothing of the first is left."""
    assert train_run(experiment(folder), say=lambda _: None).network.weights == straight
    assert not [path for path in folder.rglob("*") if path.suffix in (".half", ".lock")]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_at_any_moment(server, here, straight, moment):
    number = list(SIGNALS)[len(moment) % 3]
    said = server.start("train", TRAIN, here, asked_at(number=number, **MOMENTS[moment])).end()
    assert_ended(said, number)
    assert_goes_on(here / "run", straight)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("moment", ["arguments are read", "the first step is taken"])
def test_every_signal(server, here, number, moment):
    assert_ended(server.start("train", TRAIN, here, asked_at(number=number, **MOMENTS[moment])).end(), number)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("images are decoded in threads", signal.SIGINT),
        ("the first step is taken", signal.SIGINT),
        ("the first step is taken", signal.SIGTERM),
        ("a checkpoint is written", signal.SIGTERM),
        ("the progress ends", signal.SIGINT),
    ],
)
def test_signals_in_a_row(server, here, straight, moment, number):
    """The second or third may end it before it has saved; the line and the status are the same."""
    said = server.start("train", TRAIN, here, asked_at(number=number, times=4, **MOMENTS[moment])).end()
    assert_ended(said, number)
    assert_goes_on(here / "run", straight)


def test_a_closed_terminal_is_told_of_twice_and_the_step_is_saved(server, here):
    said = server.start("train", TRAIN, here, asked_at(loop.__name__ + ":training_step", signal.SIGHUP, times=2)).end()
    assert said[0] == 129
    assert said[2] == "saved after step 2; the same command again resumes\n"


def test_what_nohup_ignores_stays_ignored(server, here, straight):
    deaf = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    again = "from atlpa.cli.startup import prepare; prepare()"
    before = f"{deaf}\n{again}\n" + asked_at(loop.__name__ + ":training_step", signal.SIGHUP)
    assert server.start("train", TRAIN, here, before).end()[0] == 0
    assert Run.open(here / "run").network.weights == straight


@pytest.mark.parametrize("number", SIGNALS)
def test_while_the_interpreter_takes_itself_apart_nothing_is_said(server, here, number):
    """The work is done, and so is the status decided."""
    before = f"""
import os, sys, time
class Last:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        kill(pid, {int(number)})
sys.modules["last"] = Last()
"""
    assert server.start("train", TRAIN, here, before).end()[::2] == (0, "")
    assert Run.open(here / "run").finished


@pytest.mark.parametrize("number", SIGNALS)
def test_between_the_work_and_the_end_it_is_one_line(server, here, number):
    before = f"import atexit, os; atexit.register(os.kill, os.getpid(), {int(number)})"
    assert_ended(server.start("train", TRAIN, here, before).end(), number)
    assert Run.open(here / "run").finished


SLOW = """
import os, time
from atlpa.data.index import Item
real_open = Item.open
def slow(item):
    time.sleep(0.01)
    os.write(1, b".")
    return real_open(item)
Item.open = slow
"""


def test_threads_that_still_read_images_are_not_waited_for(server, here):
    """A thousand images would take seconds; few are read after the signal."""
    said = server.start(
        "train", TRAIN, here, SLOW + asked_at("atlpa.progress:Progress.update", signal.SIGTERM, call=1100)
    ).end()
    assert_ended(said, signal.SIGTERM)
    assert said[1].count(".") < 200


@pytest.fixture
def shell(here):
    """Run a line of ``bash`` in which ``train`` is a real command; returns its status and what reached its stderr."""

    def run(line, **environment):
        words = " ".join(f"'{word}'" for word in TRAIN)
        done = subprocess.run(
            ["bash", "-c", f'train() {{ "{sys.executable}" -m atlpa.cli.train {words} "$@"; }}; {line}'],
            cwd=here,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    return run


LOST = "atlpa: standard output cannot be written (No space left on device); the work goes on without it\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("train >&- 2>&- <&-", "", id="all closed"),
        pytest.param("train >/dev/full", LOST, id="full"),
        pytest.param("train | head -1 >/dev/null; exit ${PIPESTATUS[0]}", "", id="a pipe for one line"),
        pytest.param("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 train", "", id="the C locale"),
    ],
)
def test_a_stream_that_cannot_be_written_ends_no_work(shell, here, straight, line, said):
    assert shell(line) == (0, said)
    assert Run.open(here / "run").network.weights == straight
    # The next file that is opened would take the number of a closed stream, and what is printed.
    assert not any(b"training images" in path.read_bytes() for path in here.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("train --help >/dev/full", LOST, id="help"),
        pytest.param("train --list-defenses | true; exit ${PIPESTATUS[0]}", "", id="a list nobody reads"),
    ],
)
def test_nor_does_one_where_all_there_is_is_printed(shell, line, said):
    assert shell(line) == (0, said)


def test_a_refusal_keeps_its_status_where_it_cannot_be_told(shell):
    assert shell("train --set training.iterations=0 2>/dev/full") == (2, "")
