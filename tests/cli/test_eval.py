"""``atlpa-eval`` and the scripts around it as a user meets them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atlpa.cli.eval import main
from atlpa.cli.train import main as train
from atlpa.records import Evaluation

REPOSITORY = Path(__file__).parents[2]
FAST = ["--limit", "8", "--iters", "2"]


@pytest.fixture
def runs(tiny_run, tmp_path, monkeypatch):
    """Three trained networks side by side, as ``runs/`` of the present folder; ``pat`` is the newest."""
    monkeypatch.chdir(tmp_path)
    made = [tiny_run(), tiny_run("none", "resnet34"), tiny_run("pat")]
    for run in made:
        shutil.copytree(run.folder, Path("runs") / run.folder.name, ignore=shutil.ignore_patterns("*.json"))
        (Path("runs") / run.folder.name / "records").mkdir(exist_ok=True)
        shutil.copy(run.training_record, Path("runs") / run.folder.name / "records")
    return Path("runs")


def newest_is(name, folder=Path("runs")):
    record = folder / name / "records" / "training.json"
    fields = json.loads(record.read_text())
    record.write_text(json.dumps({**fields, "finished": "2999-01-01T00:00:00+00:00"}))


def rows(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")][2:]


def refused(capsys, *arguments):
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("atlpa-eval: ")
    return line


def test_the_newest_run_under_every_threat(runs):
    """The command of the paper's user, as a process: every possible threat, and which run it is about."""
    newest_is("pat-resnet18")
    command = ["atlpa-eval", "--attack", "pgd", "--eps", "0.25", "--iters", "3", "--limit", "8"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "newest finished run: runs/pat-resnet18" in done.stdout
    found = [(row[0], row[1], row[2]) for row in rows(done.stdout)]
    assert found == [
        ("pat resnet18", "white", "itself"),
        ("pat resnet18", "gray", "none resnet18"),
        ("pat resnet18", "black", "none resnet34"),
    ]
    assert "ε 0.25 cannot bind within 3 steps" in done.stdout
    assert "8 of 359 test images of digits" in done.stdout


def test_epsilons_and_budgets_in_one_call(runs, capsys):
    arguments = [
        "--run",
        str(runs / "pat-resnet18"),
        "--eps",
        "64/256",
        "0.5",
        "--iters",
        "3",
        "1",
        "--step",
        "1/8",
    ]
    assert main([*arguments, "--threat", "gray", "--limit", "8", "--json", "all.json"]) == 0
    table = rows(capsys.readouterr().out)
    assert [(row[3], row[4]) for row in table] == [("0.25", "1"), ("0.25", "3"), ("0.5", "1"), ("0.5", "3")]
    assert [float(row[8]) for row in table] == [0.125, 0.25, 0.125, 0.375]  # max ‖δ‖∞
    assert [row[7] for row in table] == ["8"] * 4
    records = [
        Evaluation.model_validate_json(json.dumps(fields)) for fields in json.loads(Path("all.json").read_text())
    ]
    assert [record.attack["epsilon"] for record in records] == [0.25, 0.5]
    assert records[0].source.defense == "none"
    assert len(list((runs / "pat-resnet18" / "records").glob("gray-none-resnet18-pgd-*.json"))) == 2


def test_what_is_on_record_is_not_measured_again(runs, capsys):
    arguments = ["--run", str(runs / "pat-resnet18"), "--threat", "white", *FAST]
    main(arguments)
    (path,) = (runs / "pat-resnet18" / "records").glob("white-*.json")
    marked = json.loads(path.read_text()) | {"seconds": 123456.0}
    path.write_text(json.dumps(marked))
    main(arguments)
    assert json.loads(path.read_text())["seconds"] == 123456.0
    main([*arguments, "--again"])
    assert json.loads(path.read_text())["seconds"] != 123456.0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("attack", "linf"),
    [(["--attack", "none"], 0.0), (["--attack", "noise", "--eps", "0.5"], 0.5), (["--attack", "fgsm"], 0.25)],
)
def test_other_attacks(runs, capsys, attack, linf):
    assert main(["--run", str(runs / "none-resnet18"), *attack, "--limit", "8"]) == 0
    table = rows(capsys.readouterr().out)
    assert float(table[0][8]) == pytest.approx(linf, abs=1e-3)
    if attack == ["--attack", "none"]:
        assert table[0][5] == table[0][6]


def test_the_gray_box_source_itself(runs, capsys):
    """Its gray-box attack would be white-box: said by default, refused when asked for."""
    main(["--run", str(runs / "none-resnet18"), *FAST])
    out = capsys.readouterr().out
    assert "gray-box is white-box" in out
    assert [row[1] for row in rows(out)] == ["white", "black"]
    assert "gray-box is white-box" in refused(capsys, "--run", str(runs / "none-resnet18"), "--threat", "gray", *FAST)


def test_without_a_source_the_way_to_one_is_said(runs, capsys):
    shutil.rmtree(runs / "none-resnet34")
    line = refused(capsys, "--run", str(runs / "pat-resnet18"), "--threat", "black", *FAST)
    assert "--defense none --set model.architecture=resnet34" in line
    command = line.split("train one with: ")[1].split()
    assert command[0] == "atlpa-train"
    subprocess.run([*command, "--set", "training.iterations=1"], check=True, capture_output=True)
    assert main(["--run", str(runs / "pat-resnet18"), "--threat", "black", *FAST]) == 0
    capsys.readouterr()


def test_runs_named_twice_and_the_source_among_them(runs, capsys):
    """A shell pattern names the undefended network too; it is passed over, with a word."""
    names = ["runs/pat-resnet18", "runs/pat-resnet18/", "runs/none-resnet18"]
    assert main([*(word for name in names for word in ("--run", name)), "--threat", "gray", *FAST]) == 0
    out = capsys.readouterr().out
    assert [row[0] for row in rows(out)] == ["pat resnet18"]
    assert "runs/none-resnet18: its gray-box source is this very network" in out


def test_each_run_is_judged_on_its_own_part(runs, capsys, tmp_path):
    train(["--config", "digits", "--set", "training.iterations=1", "--output", str(tmp_path / "develop")])
    arguments = ["--run", str(tmp_path / "develop"), "--run", "runs/pat-resnet18", "--threat", "white", *FAST]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "8 of 360 validation images" in out
    assert "8 of 359 test images" in out
    records = [Evaluation.load(p) for folder in (tmp_path / "develop", runs / "pat-resnet18")
               for p in (folder / "records").glob("white-*.json")]  # fmt: skip
    assert [record.data.part for record in records] == ["validation", "test"]


def test_sources_lie_beside_a_run_not_below(runs, capsys):
    Path("alone").mkdir()
    shutil.move(runs / "pat-resnet18", "alone/pat-resnet18")
    shutil.move(runs, "alone/deeper")
    assert "no gray-box source beside it" in refused(capsys, "--run", "alone/pat-resnet18", "--threat", "gray", *FAST)


def test_a_source_of_ones_own(runs, capsys):
    pat, none = str(runs / "pat-resnet18"), str(runs / "none-resnet18")
    assert main(["--run", none, "--source", pat, "--threat", "gray", *FAST]) == 0
    assert rows(capsys.readouterr().out)[0][2] == "pat resnet18"
    assert "none of the sources that were named makes a black-box attack" in refused(
        capsys, "--run", none, "--source", pat, "--threat", "black", *FAST
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no finished run below runs/; train one with atlpa-train"),
        (["--run", "nowhere"], "nowhere holds no run"),
        (["--run", "runs/pat-resnet18", "--eps", "64"], "epsilon: 64 is outside [0, 1]"),
        (
            ["--run", "runs/pat-resnet18", "--attack", "fgsm", "--iters", "3"],
            "--iters has no meaning for --attack fgsm",
        ),
        (["--run", "runs/pat-resnet18", "--attack", "none", "--eps", "0.1"], "--eps has no meaning"),
        (["--run", "runs/pat-resnet18", "--attack", "noise", "--threat", "gray"], "follows no network"),
        (["--run", "runs/pat-resnet18", "--restarts", "3"], "same run; use start: uniform"),
        (["--run", "runs/pat-resnet18", "--restarts", "3", "--iters", "2", "3"], "a single --iters"),
        (["--run", "runs/pat-resnet18", "--json", "missing/all.json"], "its folder does not exist"),
        (["--run", "runs/pat-resnet18", "--data-root", "x"], "data: unknown key 'root'"),
    ],
)
def test_bad_input_is_one_line(runs, capsys, monkeypatch, tmp_path_factory, arguments, words):
    if not arguments:
        monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    assert words in refused(capsys, *arguments)


@pytest.mark.parametrize(
    "arguments", [["--eps", "a lot"], ["--iters", "0"], ["--iters", "1.5"], ["--threat", "pink"], ["--seed", "-1"]]
)
def test_malformed_options(runs, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert arguments[1] in line


def run_script(name, *arguments):
    command = [sys.executable, str(REPOSITORY / "scripts" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_gray_box_script_runs_the_papers_protocol(runs):
    table = rows(run_script("gray_box.py", "runs/pat-resnet18", "--limit", "1"))
    assert [(row[3], row[4]) for row in table] == [
        (epsilon, budget) for epsilon in ("0.25", "0.5") for budget in ("10", "20", "50", "100", "150", "200")
    ]
    assert {row[2] for row in table} == {"none resnet18"}
    assert float(table[-1][8]) == pytest.approx(0.5, abs=1e-3)


def test_black_box_script_over_several_runs(runs):
    table = rows(run_script("black_box.py", "runs/pat-resnet18", "runs/none-resnet18", "--limit", "2", "--iters", "3"))
    assert {(row[0], row[2]) for row in table} == {
        ("pat resnet18", "none resnet34"),
        ("none resnet18", "none resnet34"),
    }
    assert [row[4] for row in table] == ["3"] * 4


def test_table1_script_trains_judges_and_finds_it_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--config", "digits", "--final", "--set", "training.iterations=2", "--defenses", "none", "pat",
                 "--black-box", "resnet34", "--iters", "2", "--limit", "6"]  # fmt: skip
    first = run_script("table1.py", *arguments)
    table = rows(first)
    assert [row[0] for row in table] == ["none resnet18", "none resnet34", "pat resnet18"]
    assert "= white" in table[0]
    assert "Results: runs/digits/table.md" in first.splitlines()[-1]
    assert (tmp_path / "runs/digits/table.md").read_text() in first
    assert (tmp_path / "runs/digits/curves.png").stat().st_size > 10_000
    assert len((tmp_path / "runs/digits/table.csv").read_text().splitlines()) == 1 + 14
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/**/*.json")}
    again = run_script("table1.py", *arguments)
    assert rows(again) == table
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/**/*.json")}
