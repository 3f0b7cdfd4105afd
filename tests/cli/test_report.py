"""``atlpa-report`` and ``atlpa-analyze`` on a run of the default kind, and a report that cannot be finished."""

import resource
import subprocess
import sys

import pytest

from atlpa.cli.analyze import main as analyze
from atlpa.cli.eval import main as judge
from atlpa.cli.report import main as report
from atlpa.cli.train import main as train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A development run, which watches the validation part, judged."""
    folder = tmp_path_factory.mktemp("development") / "run"
    quick = {"iterations": 3, "batch_size": 4, "log_every": 1, "validate_every": 2}
    fields = [word for field, value in quick.items() for word in ("--set", f"training.{field}={value}")]
    small = ["--set", "data.resize=20", "--set", "data.size=16", "--output", str(folder)]
    assert train(["--config", "digits", "--defense", "pat", *fields, *small]) == 0
    assert judge(["--run", str(folder), "--iters", "1", "--limit", "4", "--threat", "white"]) == 0
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_report_of_a_development_run(run, tmp_path):
    assert report([str(run), "--output", str(tmp_path / "out")]) == 0
    assert {"training.png", "training.svg", "curves.png", "index.html"} <= content(tmp_path / "out").keys()
    assert b"Training: loss terms" in content(tmp_path / "out")["index.html"]


def test_training_curves_of_a_development_run(run, tmp_path, capsys):
    assert analyze([str(run), "--what", "training", "--output", str(tmp_path / "out")]) == 0
    assert content(tmp_path / "out").keys() == {"training.png", "training.svg"}
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path / 'out'}: training.png"


def test_a_report_that_cannot_be_finished_leaves_the_old_one(run, tmp_path):
    """Files may not grow beyond what the tables take: figures cannot be written, as on a full disk."""
    command = [sys.executable, "-m", "atlpa.cli.report", str(run), "--output"]

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    def fails(output):
        done = subprocess.run([*command, output], preexec_fn=full, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"atlpa-report: no room to write {output} (")

    fails(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    assert report([str(run), "--output", str(tmp_path / "old")]) == 0
    (tmp_path / "old" / "table.md").write_text("of another day")
    before = content(tmp_path / "old")
    fails(tmp_path / "old")
    assert content(tmp_path / "old") == before
    assert [path for path in (tmp_path / "old").iterdir() if not path.is_file()] == []
