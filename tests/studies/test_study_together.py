"""A study that several real processes carry out: each step once, as they come free, with the records of one process."""

import json
import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from atlpa.cli.study import main
from tests.narrow import NARROW
from tests.together import processes

STUDY = f"""
config: digits
changes:
  model.architecture: "{NARROW}"
  training.iterations: 2
  training.batch_size: 4
  data.resize: 20
  data.size: 16
defenses: [none, pat, {{preset: rat, name: rat-1}}]
seeds: [0, 1]
epsilons: [0.25]
budgets: [1, 2]
limit: 6
"""


def study(folder, *options):
    """What the command said in this process, and its exit status."""
    os.chdir(folder)
    said = StringIO()
    with redirect_stdout(said):
        status = main(["mine.yaml", *options])
    return status, said.getvalue()


def records(folder):
    """File → record, without what differs between sittings."""
    found = {}
    for path in sorted(folder.rglob("records/*.json")):
        fields = json.loads(path.read_text())
        found[path.relative_to(folder).as_posix()] = {
            name: value for name, value in fields.items() if name not in ("seconds", "finished", "machine")
        }
    return found


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.yaml").write_text(STUDY)
    return tmp_path


def test_two_processes_share_the_steps_and_leave_the_records_of_one(place):
    assert study(place / "one")[0] == 0
    first, second = processes(2, study, place / "two")
    assert first[0] == second[0] == 0
    assert records(place / "two") == records(place / "one")
    assert len(records(place / "one")) == 6 + 6 + 5
    assert (place / "two" / "runs" / "mine" / "table.csv").read_text() == (
        place / "one" / "runs" / "mine" / "table.csv"
    ).read_text()
    lines = [line for _, said in (first, second) for line in said.splitlines()]
    begun = {line.split("train ")[1] for line in lines if "] train " in line}
    assert begun == {path.name for path in (place / "two" / "runs" / "mine").iterdir() if path.is_dir()}
    assert "report: runs/mine/index.html" in first[1]
    assert "report:" not in second[1]
    assert all(line.startswith("process 1: ") for line in second[1].splitlines())
    assert [path for path in Path(place / "two").rglob("*") if path.suffix in (".half", ".lock")] == []


@pytest.mark.parametrize("option", [["--plan"], ["--shard", "1/2"]])
def test_what_makes_no_sense_with_several_processes(place, option, monkeypatch, capsys):
    monkeypatch.chdir(place / "one")
    for name, value in {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    }.items():
        monkeypatch.setenv(name, value)
    assert main(["mine.yaml", *option]) == 2
    assert "2 processes share the steps of a study as they come; leave out --plan and" in capsys.readouterr().err
