"""What commands do before torch is there, as real processes: signals end them in a line, threads wait passively."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMANDS = ("train", "eval", "data", "study", "report", "analyze", "export")
INSTALLED = Path(sys.executable).parent / "atlpa-train"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    """The user has said nothing about how threads wait."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)


def first_on_the_path(folder):
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.fixture
def blocked(tmp_path, monkeypatch):
    """Make a package whose import says that it began, and then takes forever, swallowing exceptions like a bad one.

    It sleeps shortly: Python takes a signal that arrives just before a sleep only after it.
    """

    def block(package):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(
            f"import pathlib, time\npathlib.Path({str(tmp_path / 'began')!r}).touch()\n"
            "while True:\n    try:\n        time.sleep(0.1)\n    except BaseException:\n        pass\n"
        )
        monkeypatch.setenv("PYTHONPATH", first_on_the_path(tmp_path))
        return tmp_path / "began"

    return block


def ended_by(number, command, began):
    """The status of a command that is sent a signal while an import is under way, and what it said."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not began.exists():
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            process.send_signal(number)
            out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert out == ""
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("package", ["pydantic", "numpy", "torch"])
def test_a_signal_while_imports_run_is_one_line(blocked, package, number):
    status, errors = ended_by(number, [sys.executable, "-m", "atlpa.cli.train"], blocked(package))
    assert status == 128 + number
    assert errors == "atlpa: interrupted\n"


@pytest.mark.parametrize("command", [[sys.executable, "-m", f"atlpa.cli.{name}"] for name in COMMANDS] + [[INSTALLED]])
def test_every_command_starts_so(blocked, command):
    assert ended_by(signal.SIGINT, command, blocked("numpy")) == (130, "atlpa: interrupted\n")


def test_a_signal_that_is_ignored_stays_ignored(blocked):
    """A shell starts background jobs so that Ctrl-C does not reach them."""
    command = [sys.executable, "-m", "atlpa.cli.train"]
    began = blocked("torch")
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, previous)
    while not began.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) == (None, "atlpa: interrupted\n")
    assert process.returncode == 143


OWN = ["--set=model.architecture=small_cnn", "--set=training.iterations=1", "--set=training.batch_size=4"]
WITHOUT_TORCHVISION = [
    *((name, ["--help"], 0) for name in COMMANDS),
    ("train", ["--list-defenses"], 0),
    ("train", ["--set", "training.iterations=0"], 2),
    ("train", ["--config", "digits", *OWN, "--output", "run"], 0),
    ("eval", ["--run", "run", "--eps", "0.25", "--iters", "1", "--limit", "4", "--threat", "white"], 0),
]
RUN_ALL = f"""
import importlib
for name, words, status in {WITHOUT_TORCHVISION}:
    try:
        ended = importlib.import_module(f"atlpa.cli.{{name}}").main(words)
    except SystemExit as stop:
        ended = stop.code
    assert ended == status, (name, words, ended)
"""


def test_what_needs_no_torchvision_does_not_wait_for_it(tmp_path):
    """Its import takes as long as torch's: a help, a refusal, what is done with another network do without."""
    (tmp_path / "torchvision.py").write_text("raise SystemExit('torchvision was imported')\n")
    environment = {**os.environ, "PYTHONPATH": first_on_the_path(tmp_path)}
    command = [sys.executable, "-c", RUN_ALL]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


PRINTS = "import os\nprint(*map(os.environ.get, ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')))\nos._exit(0)\n"


@pytest.mark.parametrize(
    ("command", "own", "found"),
    [
        (["-m", "atlpa.cli.train"], {}, "PASSIVE 1000"),
        (["-m", "atlpa.cli.train"], {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
        (["-m", "atlpa.cli.train"], {"GOMP_SPINCOUNT": "7"}, "None 7"),
        (["-c", "import atlpa.attacks"], {}, "None None"),
        (["-c", "import atlpa.cli.train"], {}, "None None"),
    ],
)
def test_threads_of_commands_wait_passively_and_a_librarys_as_ever(tmp_path, command, own, found):
    """Asked where torch is loaded, since OpenMP reads it then."""
    (tmp_path / "torch.py").write_text(PRINTS)
    environment = {**os.environ, "PYTHONPATH": first_on_the_path(tmp_path), **own}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{found}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="wheels for other systems bring another OpenMP")
def test_openmp_takes_it_from_a_running_process():
    """libgomp, which torch's wheels for Linux bring, says what it was told when it was loaded."""
    code = "import sys; sys.argv = ['atlpa-train']; import atlpa.cli, torch"
    environment = {**os.environ, "OMP_DISPLAY_ENV": "TRUE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
