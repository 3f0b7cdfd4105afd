"""A disk without room for a record, a report, kept images or ``--json``: one line, and what was there before is intact.

Files may not grow beyond a limit, which to a writer is a full disk.
"""

import shutil

import pytest

from atlpa.cli.analyze import main as analyze
from atlpa.cli.eval import main as judge
from atlpa.cli.report import main as report
from tests.narrow import NARROW
from tests.reliability.room import room


@pytest.fixture
def run(tiny_run, tmp_path):
    """A network with its gray-box source, both judged white-box."""
    for defense in ("none", "pat"):
        shutil.copytree(tiny_run(defense, NARROW).folder, tmp_path / defense)
    assert judge(["--run", str(tmp_path / "pat"), *ASKED, "--threat", "white"]) == 0
    return tmp_path / "pat"


ASKED = ["--limit", "4", "--iters", "2"]


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CASES = {
    "a record": (judge, ["--run", "{run}", *ASKED, "--threat", "white", "--again"], 100, "{run}/records/white-"),
    "a new record": (judge, ["--run", "{run}", *ASKED, "--threat", "gray"], 100, "{run}/records/gray-"),
    "checks": (judge, ["--run", "{run}", "--limit", "4", "--check"], 100, "{run}/records/credibility-"),
    "an analysis": (
        analyze,
        ["{run}", "--what", "attention", "--limit", "4", "--iters", "1", "--output", "{out}"],
        100,
        "{run}/records/attention-clean",
    ),
    "one file": (judge, ["--run", "{run}", *ASKED, "--threat", "white", "--json", "{out}/all.json"], 100, "{out}/all"),
    "kept images": (
        judge,
        ["--run", "{run}", *ASKED, "--threat", "gray", "--keep-images", "{out}"],
        40_000,
        "adversarial images of 0 MB cannot be kept at {out}/",
    ),
    "a report": (report, ["{run}", "--output", "{out}"], 4000, "{out}"),
}


@pytest.mark.parametrize(("command", "arguments", "size", "named"), CASES.values(), ids=CASES)
def test_one_line_names_the_file_and_nothing_is_lost(run, tmp_path, capsys, command, arguments, size, named):
    out = tmp_path / "out"
    out.mkdir()
    (out / "table.md").write_text("of another day")
    (out / "all.json").write_text("[]")
    before = content(tmp_path)
    arguments = [word.format(run=run, out=out) for word in arguments]
    capsys.readouterr()
    with room(size):
        assert command(arguments) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert named.format(run=run, out=out) in line
    assert "File too large" in line
    assert "make room" in line
    assert content(tmp_path) == before
    assert command(arguments) == 0
