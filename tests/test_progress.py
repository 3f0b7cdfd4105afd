"""What a log file gets to see of long work, through real processes whose output is a pipe."""

import json
import os
import pty
import re
import subprocess
import sys
import termios

import nbformat
import pytest
from nbclient import NotebookClient

LINE = re.compile(
    r"(?P<title>.+): (?P<done>\d+) of (?P<total>\d+) (?P<unit>\w+)s(, loss (?P<loss>[\d.]+))?"
    r"(, (?P<rate>[\d.]+) (?P<kind>\w+/\w+), (?P<left>[\d:]+) left)?"
)
TINY = ["--config", "digits", "--set", "training.batch_size=4", "--set", "data.resize=20", "--set", "data.size=16"]


def python(code, *arguments, interval):
    """A command that runs some code with another interval than ten seconds."""
    return [sys.executable, "-c", f"from atlpa import progress\nprogress.INTERVAL = {interval}\n{code}", *arguments]


def parsed(lines):
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), lines
    return [match.groupdict() for match in found]


def seconds(text):
    total = 0
    for part in text.split(":"):
        total = 60 * total + int(part)
    return total


def test_training_without_a_terminal(tmp_path):
    """Steps only grow, and each loss is one that the log has."""
    code = "import sys\nfrom atlpa.cli.train import main\nsys.exit(main())"
    quick = ["--defense", "pat", "--set", "training.iterations=8", "--set", "training.log_every=1", "--final"]
    command = python(code, *TINY, *quick, "--output", str(tmp_path / "run"), interval=0.1)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    shown = parsed(done.stderr.splitlines())
    assert len(shown) > 1
    shown = [line for line in shown if line["title"] == "pat resnet18"]  # images may have been read before
    assert {(line["total"], line["unit"]) for line in shown} == {("8", "step")}
    steps = [int(line["done"]) for line in shown]
    assert steps == sorted(steps)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = {f"{line['loss']:.3f}" for line in log}
    assert {line["loss"] for line in shown if line["loss"]} <= losses
    assert any(line["left"] for line in shown)


def test_what_is_said_reaches_a_pipe_at_once(tmp_path):
    command = [sys.executable, "-m", "atlpa.cli.train", *TINY, "--set", "training.iterations=100000", "--output", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("digits: ")
            assert process.poll() is None
        finally:
            process.kill()


LONG = """
import time
with progress.Progress("checks", {total}, "{unit}", done={first}) as shown:
    time.sleep(0.35)
    for _ in range(20):
        time.sleep(0.02)
        shown.update()
"""


def test_lines_go_on_while_nothing_is_finished():
    command = python(LONG.format(total=29, unit="check", first=5), interval=0.1)
    lines = parsed(subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines())
    assert [line["done"] for line in lines[:2]] == ["5", "5"]
    assert lines[0]["rate"] is None
    for line in lines:
        if line["rate"]:
            rate = float(line["rate"])
            each = 1 / rate if line["kind"] == "checks/s" else rate
            # Both numbers are rounded: the rate to one decimal, the time down to a second.
            assert abs(seconds(line["left"]) - (29 - int(line["done"])) * each) <= 1 + 29 * 0.05 * max(each, each**2)


def test_short_work_says_nothing():
    command = python(LONG.format(total=20, unit="check", first=0), interval=10)
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""


@pytest.mark.parametrize(
    ("total", "unit", "expected"),
    [
        ("None", "file", r"checks: \d+ files(, [\d.]+ (files/s|s/file))?"),
        ("50_000_000", "B", r"checks: [\d.]+M?B of 50\.0MB(, [\d.]+ ?(B/s|s/B), [\d:]+ left)?"),
    ],
)
def test_unknown_totals_and_bytes(total, unit, expected):
    command = python(LONG.format(total=total, unit=unit, first=0), interval=0.1)
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    assert len(lines) > 2
    for line in lines:
        assert re.fullmatch(expected, line), line


def test_a_terminal_keeps_its_bar():
    reader, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    subprocess.run(python(LONG.format(total=20, unit="check", first=0), interval=0.1), stderr=terminal, check=True)
    os.set_blocking(reader, False)
    shown = os.read(reader, 1 << 16).decode()
    os.close(terminal)
    os.close(reader)
    assert "\rchecks:" in shown
    assert "0/20" in shown
    assert "of 20 checks" not in shown


@pytest.mark.filterwarnings("ignore")  # of Jupyter's own
def test_a_notebook_has_a_bar():
    code = "from atlpa import progress\nprogress.INTERVAL = 0.1" + LONG.format(total=20, unit="check", first=0)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    shown = "".join(output.text for output in notebook.cells[0].outputs if output.name == "stderr")
    assert "\rchecks:" in shown
    assert "0/20" in shown
    assert "of 20 checks" not in shown


def test_what_is_told_is_in_the_next_line():
    code = """
import time
with progress.Progress("checks", 3, "check") as shown:
    shown.tell("ensemble 43 %")
    time.sleep(0.5)
"""
    done = subprocess.run(python(code, interval=0.1), capture_output=True, text=True, check=True)
    assert "checks: 0 of 3 checks, ensemble 43 %" in done.stderr.splitlines()
