"""One bad neighbor: whatever lies beside the good runs and records, it is named, left out, and breaks nothing."""

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest

from atlpa.cli.eval import main as judge
from atlpa.cli.report import main as report
from atlpa.report import collect
from atlpa.runs import finished_runs, newest_run

STUDY = Path(__file__).parents[2] / "docs" / "results" / "flowers-small-first"
GOOD = ("pat-resnet18-seed0-final", "none-resnet18-seed0-final")
DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000


def file_of(content):
    return lambda path: path.write_bytes(content)


THINGS = {
    "empty": file_of(b""),
    "half": file_of(b'{"version": 2, "kind": "evalu'),
    "binary": file_of(bytes(range(256))),
    "not UTF-8": file_of(b'{"kind": "\xe4\xf6\xfc"}'),
    "a list": file_of(b"[1, 2]"),
    "deep": file_of(DEEP),
    "deep brackets": file_of(b"[" * 100_000 + b"]" * 100_000),
    "5,000 digits": file_of(b'{"kind": "evaluation", "version": ' + b"9" * 5000 + b"}"),
    "NaN": file_of(b'{"kind": NaN, "step": NaN}'),
    "another kind": file_of(b'{"kind": "recipe", "version": 2}'),
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to a folder": lambda path: path.symlink_to("/"),
}
each_thing = pytest.mark.parametrize("put", THINGS.values(), ids=THINGS)


def lay(folder, name, *, records=True):
    """A committed run, with its records or with that of its training alone."""
    kept = "*.json" if records else "training.json"
    (folder / name / "records").mkdir(parents=True)
    for path in [*(STUDY / name).glob(f"records/{kept}"), STUDY / name / "log.jsonl", STUDY / name / "experiment.yaml"]:
        shutil.copy(path, folder / name / path.relative_to(STUDY / name))
    return folder / name


@pytest.fixture
def runs(tmp_path):
    """Two good runs and one that a test spoils."""
    for name in GOOD:
        lay(tmp_path / "runs", name)
    return tmp_path / "runs"


def replace_by(put, path):
    path.unlink(missing_ok=True)
    put(path)


def reported(runs, capsys):
    """The lines that the report's command says are left out, and its tables."""
    assert report([str(runs)]) == 0
    said = capsys.readouterr()
    return said.err.splitlines(), said.out


# Reports.


@each_thing
def test_a_report_names_a_bad_record_and_leaves_it_out(runs, capsys, put):
    said, tables = reported(runs, capsys)
    assert said == []
    put(runs / GOOD[0] / "records" / "bad.json")
    (line, count), same = reported(runs, capsys)
    assert line.startswith(f"left out: {runs / GOOD[0] / 'records' / 'bad.json'}")
    assert count.startswith("1 of ")
    assert len(line) < 500
    assert same == tables


BAD_LINES = {
    "text": b"no log\n",
    "deep": DEEP + b"\n",
    "no step": b'{"learning_rate": 0.1}\n',
    "a step of words": b'{"step": "ten"}\n',
    "a step of 5,000 digits": b'{"step": ' + b"1" * 5000 + b"}\n",
    "a negative step": b'{"step": -1}\n',
    "terms that are none": b'{"step": 1, "terms": [1, 2]}\n',
    "a term that is none": b'{"step": 1, "terms": {"cross_entropy": "low"}}\n',
    "a rate that is none": b'{"step": 1, "learning_rate": {"of": 1}}\n',
    "NaN": b'{"step": 1, "learning_rate": NaN}\n',
    "too large": b'{"step": 1, "learning_rate": 1e300}\n',
    "a list": b"[1]\n",
    "not UTF-8": b'{"step": 1, "terms": {"\xff": 1}}\n',
}
LOGS = {name: file_of(b'{"step": 1, "learning_rate": 0.1}\n' + line) for name, line in BAD_LINES.items()}
LOGS |= {name: put for name, put in THINGS.items() if name.startswith("a ") and name not in ("a list", "another kind")}
LOGS["a folder"] = Path.mkdir


@pytest.mark.parametrize("put", LOGS.values(), ids=LOGS)
def test_a_report_names_a_damaged_log_and_draws_the_others(runs, tmp_path, capsys, put):
    log = runs / GOOD[0] / "log.jsonl"
    replace_by(put, log)
    assert report([str(runs)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"left out: {log}")
    results = collect([runs])
    assert list(results.logs) == [GOOD[1]]
    assert results.problems == [line]


def test_a_log_that_is_still_written_loses_its_last_line_alone(runs):
    with (runs / GOOD[0] / "log.jsonl").open("a") as file:
        file.write('{"step": 1510, "learn')
    (runs / GOOD[1] / "log.jsonl").unlink()
    results = collect([runs])
    assert results.problems == []
    assert len(results.logs[GOOD[0]]) == len((STUDY / GOOD[0] / "log.jsonl").read_text().splitlines())
    assert results.logs[GOOD[1]] == []


def test_a_report_with_a_damaged_log_is_written_and_says_so_on_its_page(runs, tmp_path):
    (runs / GOOD[0] / "log.jsonl").write_bytes(DEEP + b"\n")
    assert report([str(runs), "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "training.png").is_file()
    assert "log.jsonl is damaged in line 1" in (tmp_path / "out" / "index.html").read_text()


def test_a_records_folder_that_is_none_and_names_that_are_no_text(runs, capsys):
    _, tables = reported(runs, capsys)
    (runs / "odd").mkdir()
    (runs / "odd" / "records").write_text("no folder")
    (Path(os.fsdecode(os.fsencode(runs / "odd") + b"/\xff\xfe.json"))).write_bytes(b"{")
    (runs / "odd" / "\x1b[31mred.json").write_bytes(b"{")
    said, same = reported(runs, capsys)
    assert same == tables
    assert [line.split(" is ")[0] for line in said[:2]] == [
        f"left out: {runs}/odd/\\x1b[31mred.json",
        f"left out: {runs}/odd/\\udcff\\udcfe.json",
    ]


def test_a_folder_that_may_not_be_read_is_named(runs, capsys, monkeypatch):
    _, tables = reported(runs, capsys)
    (runs / "secret").mkdir()
    scan = os.scandir

    def guarded(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    (line,), same = reported(runs, capsys)
    assert line == f"left out: {runs}/secret cannot be read (Permission denied)"
    assert same == tables
    assert len(finished_runs(runs)) == 2
    assert capsys.readouterr().err == f"{line}\n"


def test_what_a_study_has_set_aside_is_in_no_report_unless_asked_for(runs, capsys):
    _, tables = reported(runs, capsys)
    shutil.copytree(runs / GOOD[0], runs / f"{GOOD[0]}.stale-1")
    assert reported(runs, capsys) == ([], tables)
    assert len(collect([runs / f"{GOOD[0]}.stale-1"]).evaluations) == len(collect([runs / GOOD[0]]).evaluations)


def test_records_named_one_by_one_from_their_own_folder(runs, capsys, monkeypatch):
    monkeypatch.chdir(runs / GOOD[0] / "records")
    files = sorted(path.name for path in Path().glob("*.json"))
    assert report(files) == 0
    assert capsys.readouterr().err == ""
    assert list(collect(map(Path, files)).logs) == [GOOD[0]]


# Finished runs.


@each_thing
@pytest.mark.parametrize("place", ["records/training.json", "experiment.yaml"])
@pytest.mark.parametrize("depth", ["*", "**"])
def test_a_bad_run_is_named_and_left_out(runs, capsys, put, place, depth):
    bad = lay(runs, "atlpa-resnet18-seed0-final", records=False)
    assert len(finished_runs(runs, depth)) == 3
    assert capsys.readouterr().err == ""
    replace_by(put, bad / place)
    assert {run.folder.name for run in finished_runs(runs, depth)} == set(GOOD)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"left out: {bad}")
    assert len(line) < 2500


def test_the_newest_run_is_the_newest_good_one(runs, capsys):
    bad = lay(runs, "atlpa-resnet18-seed0-final", records=False)
    record = json.loads((bad / "records" / "training.json").read_text())
    (bad / "records" / "training.json").write_text(json.dumps({**record, "finished": "2999-01-01T00:00:00+00:00"}))
    assert newest_run(runs).folder == bad
    (bad / "experiment.yaml").write_bytes(b"[" * 5000)
    assert newest_run(runs).folder.name in GOOD
    assert capsys.readouterr().err.startswith(f"left out: {bad}/experiment.yaml")


def test_what_is_not_finished_or_set_aside_is_no_neighbor(runs, capsys):
    shutil.copytree(runs / GOOD[0], runs / f"{GOOD[0]}.stale-1")
    shutil.copytree(runs / GOOD[0], runs / "deeper" / f"{GOOD[1]}.stale-27")
    (runs / "begun").mkdir()
    (runs / "odd").mkdir()
    (runs / "odd" / "records").write_text("no folder")
    (runs / "gone").symlink_to("nowhere")
    for depth in ("*", "**"):
        assert {run.folder.name for run in finished_runs(runs, depth)} == set(GOOD)
    assert finished_runs(runs / "nowhere") == finished_runs(runs / "nowhere", "*") == []
    assert capsys.readouterr().err == ""


# Judging.


@pytest.fixture
def judged(tiny_run, tmp_path):
    """A defended run with its gray-box source beside it."""
    for defense in ("none", "pat"):
        shutil.copytree(tiny_run(defense).folder, tmp_path / defense)
    return tmp_path / "pat"


ASKED = ["--limit", "4", "--iters", "2"]


def test_judging_goes_on_beside_damaged_runs(judged, capsys):
    """Every kind of damage at once: a line for each, and the record is what it is without them."""
    assert judge(["--run", str(judged), *ASKED]) == 0
    (alone,) = (judged / "records").glob("gray-*.json")
    before = json.loads(alone.read_text())
    alone.unlink()
    capsys.readouterr()
    for number, put in enumerate(THINGS.values()):
        bad = judged.with_name(f"bad{number}")
        shutil.copytree(judged.with_name("none"), bad, ignore=shutil.ignore_patterns("last.pt"))
        replace_by(put, bad / "records" / "training.json")
    assert judge(["--run", str(judged), *ASKED, "--threat", "gray"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out: ")]
    assert len(said) == len(THINGS)
    after = json.loads(alone.read_text())
    assert {**after, "seconds": before["seconds"]} == before


@each_thing
def test_ones_own_damaged_record_is_an_error_that_again_mends(judged, capsys, put):
    asked = ["--run", str(judged), *ASKED, "--threat", "white"]
    assert judge(asked) == 0
    (path,) = (judged / "records").glob("white-*.json")
    replace_by(put, path)
    capsys.readouterr()
    assert judge(asked) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert line.endswith("measure it anew with --again, or remove the file")
    if not path.exists() or path.is_file():
        assert judge([*asked, "--again"]) == 0
        assert json.loads(path.read_text())["threat"] == "white"
    else:  # what is no file is not replaced, and nothing is attacked for it
        assert judge([*asked, "--again"]) == 2
        assert capsys.readouterr().err.splitlines()[-1].endswith("is no plain file")


def test_a_record_of_other_weights_is_not_ones_own(judged, capsys):
    asked = ["--run", str(judged), *ASKED, "--threat", "white"]
    assert judge(asked) == 0
    (path,) = (judged / "records").glob("white-*.json")
    fields = json.loads(path.read_text())
    fields["target"]["weights"] = fields["source"]["weights"] = "0" * 64
    path.write_text(json.dumps(fields))
    assert judge(asked) == 2
    assert "is of other weights (00000000, not " in capsys.readouterr().err


def no_attack(monkeypatch):
    def attack(*_):
        raise AssertionError("attacked before the place was looked at")

    monkeypatch.setattr(importlib.import_module("atlpa.runs.evaluate"), "_attack", attack)


def test_places_that_cannot_be_written_are_found_before_any_attack(judged, tmp_path, capsys, monkeypatch):
    no_attack(monkeypatch)
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for option, value, words in (
        ("--json", tmp_path / "nowhere" / "all.json", "its folder does not exist"),
        ("--json", tmp_path, "is no plain file"),
        ("--json", tmp_path / "pipe", "is no plain file"),
        ("--json", "/dev/null", "is no plain file"),
        ("--keep-images", tmp_path / "file", "file is no folder that can be written"),
        ("--keep-images", tmp_path / "file" / "deeper", "file is no folder that can be written"),
    ):
        assert judge(["--run", str(judged), *ASKED, option, str(value)]) == 2
        assert words in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "records")
    assert judge(["--run", str(judged), *ASKED]) == 2
    assert "is no folder that can be written" in capsys.readouterr().err.splitlines()[-1]
