"""``atlpa-eval --bound`` as a user meets it."""

import json
import shutil
from pathlib import Path

import pytest

from atlpa.cli.eval import main
from atlpa.cli.report import main as report
from atlpa.cli.train import main as train
from atlpa.component import validate
from atlpa.records import Bound, Evaluation


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small network that was trained by interval bounds for a moment, and one that draws."""
    folder = tmp_path_factory.mktemp("bounds")
    short = ["--final", "--set", "training.batch_size=16", "--set", "training.iterations=25"]
    small = ["--set", "training.attack.epsilon=0.02", "--set", "training.learning_rate=3e-3"]
    assert train(["--config", "digits-certified", *short, *small, "--output", str(folder / "ibp")]) == 0
    again = ["--config", "digits-certified", "--defense", "rat", "--set", "training.iterations=1", "--final"]
    again += ["--set", "training.epsilon_schedule.warmup=0"]
    assert train([*again, "--set", "training.batch_size=4", "--output", str(folder / "rat")]) == 0
    return folder


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")
    return tmp_path / "runs"


def table(text):
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"][
        2:
    ]


def refused(capsys, *arguments):
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_both_bounds_meet_in_the_records_and_the_report(runs, capsys):
    """Every certified image stands under the attack; what is on record is not measured again."""
    common = ["--run", "ibp", "--eps", "0.01", "--limit", "12"]
    assert main([*common, "--threat", "white", "--iters", "10", "--step", "0.0025"]) == 0
    assert main([*common, "--bound", "ibp"]) == 0
    assert main([*common, "--bound", "crown", "--json", "all.json"]) == 0
    (row,) = table(capsys.readouterr().out)[-1:]
    (bound,) = [validate(Bound, fields) for fields in json.loads(Path("all.json").read_text())]
    (attack,) = [Evaluation.load(path) for path in Path("ibp/records").glob("white-*.json")]
    standing = attack.budgets[-1].correct[0]
    assert bound.clean == attack.clean[0]
    assert ("1", "0") not in set(zip(bound.certified, standing, strict=True))
    assert "1" in bound.certified
    gap = 100 * (standing.count("1") - bound.certified.count("1")) / 12
    assert row[:3] == ["ibp small_cnn", "0.01", "crown"]
    assert row[6:] == ["pgd", f"{gap:.1f}", "12"]
    paths = sorted(Path("ibp/records").glob("bound-*.json"))
    assert [path.name.rpartition("-")[0] for path in paths] == ["bound-crown-eps0.01", "bound-ibp-eps0.01"]
    before = [path.stat().st_mtime_ns for path in paths]
    assert main([*common, "--bound", "crown"]) == 0
    assert [path.stat().st_mtime_ns for path in paths] == before
    assert main([*common, "--bound", "ibp", "--again"]) == 0
    assert paths[1].stat().st_mtime_ns > before[1]
    capsys.readouterr()
    assert report(["ibp/records"]) == 0
    assert "certified 0.01" in capsys.readouterr().out


def test_a_network_that_draws_has_no_bound_and_a_record_that_says_so(runs, capsys):
    assert main(["--run", "rat", "--bound", "ibp", "--limit", "4"]) == 0
    out = capsys.readouterr().out
    assert table(out)[0][4] == "no bound"
    assert "No bound: rat small_cnn: no bound is known of RandomLayer (noise)" in out
    (path,) = Path("rat/records").glob("bound-*.json")
    assert Bound.load(path).certified is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--check"], "--check and --bound each stand in place of an attack"),
        (["--iters", "10"], "--iters has no meaning with --bound, which holds for every attack"),
        (["--attack", "square"], "--attack has no meaning with --bound"),
        (["--threat", "white"], "--threat has no meaning with --bound"),
        (["--eps", "0"], "--bound needs an ε above 0"),
        (["--seed", "1"], "--seed has no meaning with --bound, which draws nothing"),
        (["--add-check", "a:b"], "--add-check has no meaning without --check"),
    ],
)
def test_what_a_bound_has_no_use_for_is_refused(runs, capsys, options, words):
    assert words in refused(capsys, "--run", "ibp", "--bound", "ibp", *options)


def test_a_network_that_intervals_cannot_follow_is_refused_before_training(capsys, tmp_path):
    model = ["--set", "model.architecture=mobilenet_v3_small", "--output", str(tmp_path / "run")]
    assert train(["--config", "digits-certified", *model]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "defense.terms.worst_case: no bound is known of Hardswish (backbone.features.0.2)" in line
