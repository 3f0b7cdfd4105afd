"""``atlpa-eval --curve`` and ``--norm L2`` as a user meets them."""

import json
import os
from pathlib import Path

import pytest

from atlpa.cli.eval import main
from atlpa.cli.report import main as report
from atlpa.records import Distances, Evaluation
from tests.cli.test_eval import refused, rows

CURVE = ["--run", "run", "--curve", "0.001", "0.01", "0.1", "--limit", "6", "--iters", "2"]


@pytest.fixture
def run(tiny_run, tmp_path, monkeypatch):
    """A trained network in ``run`` of the present folder."""
    monkeypatch.chdir(tmp_path)
    made = tiny_run("pat")
    Path("run", "records").mkdir(parents=True)
    for file in (*(path for path in made.folder.iterdir() if path.is_file()), made.training_record):
        os.link(file, Path("run") / file.relative_to(made.folder))


def records():
    return [Distances.load(path) for path in sorted(Path("run", "records").glob("distances-*.json"))]


@pytest.mark.usefixtures("run")
def test_a_curve_is_measured_recorded_and_reported(capsys):
    assert main([*CURVE, "--json", "all.json"]) == 0
    out = capsys.readouterr().out
    (record,) = records()
    assert record.epsilons == (0.001, 0.01, 0.1)
    assert record.attack["loss"] == "margin"
    assert record.attack["step"] == pytest.approx(0.1 / 16)
    assert len(record.distances) == record.data.count == 6
    assert [row[:3] for row in rows(out)[:1]] == [["pat resnet18", "pgd", "‖δ‖∞"]]
    assert "6 of 359 test images of digits at 32×32; 3 ε from 0.001 to 0.1 (Linf), pgd, step 0.00625" in out
    # Below it, at each ε that was asked for, the share of the six that stands there.
    table = [line.strip("| ").split("|") for line in out.splitlines()[-3:]]
    assert [row[0].strip() for row in table] == ["0.001", "0.01", "0.1"]
    shares = [100 * record.standing(epsilon).count("1") / 6 for epsilon in record.epsilons]
    assert [row[1].split("[")[0].strip() for row in table] == [f"{share:.1f}" for share in shares]
    assert [one["kind"] for one in json.loads(Path("all.json").read_text())] == ["distances"]
    assert report(["run", "--output", "report"]) == 0
    assert Path("report", "distances.png").exists()
    # The same again is on record.
    (path,) = Path("run", "records").glob("distances-*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": 1234.5}))
    assert main(CURVE) == 0
    assert records()[0].seconds == 1234.5


@pytest.mark.usefixtures("run")
def test_the_nearest_in_l2(capsys):
    command = ["--run", "run", "--curve", "--attack", "fmn", "--norm", "L2", "--limit", "4", "--iters", "3"]
    assert main(command) == 0
    (record,) = records()
    assert (record.norm, record.attack["iterations"], len(record.epsilons)) == ("L2", 3, 63)
    assert record.steps <= 4 * 4
    assert rows(capsys.readouterr().out)[0][1:3] == ["fmn", "‖δ‖₂"]


@pytest.mark.usefixtures("run")
def test_an_evaluation_in_l2_says_so(capsys):
    command = ["--run", "run", "--threat", "white", "--norm", "L2", "--eps", "1.5", "--step", "1", "--iters", "2"]
    assert main([*command, "--limit", "4"]) == 0
    out = capsys.readouterr().out
    assert "max ‖δ‖₂" in out
    assert rows(out)[0][3] == "1.5 L2"
    assert "2 iterations, in L2." in out
    (path,) = Path("run", "records").glob("white-pgd-*.json")
    record = Evaluation.load(path)
    assert record.budgets[0].l2_max <= 1.5 + 1e-4
    assert report(["run"]) == 0
    assert "white L2 1.5" in capsys.readouterr().out


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--curve", "0.1", "0.01"], "ε 0.01 follows 0.1; give them ascending, each once"),
        (["--curve", "0.1", "2"], "epsilon: 2 is outside [0, 1]"),
        (["--curve", "0", "0.1"], "ε from 0 to 0.1; give some above 0"),
        (["--curve", "-1", "0.1"], "ε from -1 to 0.1; give some above 0"),
        (["--curve", "0.1"], "1 ε; give at least two, ascending"),
        (["--curve", "--eps", "0.1"], "--eps has no meaning with --curve"),
        (["--curve", "--attack", "fgsm", "--norm", "L2"], "--norm has no meaning for --attack fgsm"),
        (["--attack", "noise", "--norm", "L2"], "--norm has no meaning for --attack noise"),
        (["--curve", "--attack", "noise"], "noise cannot be followed step by step"),
        (["--curve", "--attack", "autoattack"], "autoattack cannot be followed step by step"),
        (["--curve", "--threat", "gray"], "--threat has no meaning with --curve"),
        (["--curve", "--check"], "--check and --curve each stand in place of an attack"),
        (["--curve", "--draws", "3"], "--draws has no meaning with --curve"),
        (["--curve", "--iters", "2", "3"], "--curve takes a single one"),
        (["--curve", "--momentum", "1"], "momentum of pgd has no meaning with --curve"),
        (["--curve", "--attack-set", "eot=2"], "eot of pgd has no meaning with --curve"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(capsys, arguments, words):
    assert words in refused(capsys, "--run", "run", *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--curve", "0.1", "much"], "'much' is no number"), (["--curve", "--norm", "L1"], "invalid choice: 'L1'")],
    ids=["number", "norm"],
)
def test_arguments_that_cannot_be_read(capsys, arguments, words):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
