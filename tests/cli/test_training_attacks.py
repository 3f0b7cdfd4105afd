"""Attacks of training as a user meets them: by name in a recipe and a defense, and never where something is judged."""

import json
from pathlib import Path

import pytest

from atlpa.attacks import APGD, NFGSM, PGD
from atlpa.cli.eval import main as judge
from atlpa.cli.study import main as study
from atlpa.cli.train import main
from atlpa.runs import Run, watching

QUICK = ["--config", "digits", "--set", "training.iterations=2", "--set", "training.batch_size=4",
         "--set", "data.size=16", "--set", "data.resize=16"]  # fmt: skip
N_FGSM = ["--set", "training.attack={name: n_fgsm, epsilon: 0.1}"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, command, *arguments):
    assert command(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_recipe_with_n_fgsm_is_watched_under_pgd_and_judged_by_other_attacks(capsys, monkeypatch):
    """The look is an attack of the same ε, ten steps of a quarter of it; n_fgsm itself leaves no record."""
    looks = []
    monkeypatch.setattr(watching, "accuracy", lambda *given: looks.append(given[2:3]) or 0.5)
    assert main([*QUICK, *N_FGSM, "--defense", "pat", "--output", "run"]) == 0
    assert looks == [(), (PGD(0.1, 0.025, 10),)]
    run = Run.open(Path("run"))
    assert run.experiment.training.attack == NFGSM(0.1)

    capsys.readouterr()
    line = refused(capsys, judge, "--run", "run", "--attack", "n_fgsm", "--eps", "0.1", "--limit", "4")
    assert "the attack n_fgsm is for training: its images leave the ε-ball on purpose; judge with another" in line
    assert {path.name for path in (run.folder / "records").iterdir()} == {"training.json"}
    assert judge(["--run", "run", "--attack", "apgd", "--eps", "0.1", "--iters", "2", "5", "--limit", "4"]) == 0
    assert judge(["--run", "run", "--attack", "rs_fgsm", "--eps", "0.1", "--alpha", "1.5", "--limit", "4"]) == 0
    assert len(list((run.folder / "records").iterdir())) == 3


def test_what_leaves_the_ball_selects_no_network_and_is_in_no_study(capsys):
    line = refused(capsys, main, *QUICK, "--set", "training.select_by={name: n_fgsm}")
    assert "select_by: images of n_fgsm leave the ε-ball; take another, such as pgd" in line
    fields = {"name": "mine", "config": "digits", "defenses": ["n_fgsm"], "attack": {"name": "n_fgsm"}}
    Path("mine.yaml").write_text(json.dumps(fields))
    assert "the attack n_fgsm is for training" in refused(capsys, study, "mine.yaml")
    assert not Path("runs").exists()


def test_training_with_apgd_takes_the_recipes_steps():
    assert main([*QUICK, "--defense", "pat", "--set", "defense.attack.name=apgd", "--output", "run"]) == 0
    experiment = Run.open(Path("run")).experiment
    attack = experiment.defense.training_attack(experiment.training.attack)
    assert attack == APGD(epsilon=0.25, iterations=2, start="zero")


def test_the_help_of_evaluation_offers_what_can_judge_and_tells_each_default(capsys):
    with pytest.raises(SystemExit):
        judge(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    names = [
        "pgd",
        "apgd",
        "fab",
        "fmn",
        "fgsm",
        "rs_fgsm",
        "mi_fgsm",
        "square",
        "ensemble",
        "autoattack",
        "noise",
        "none",
    ]
    offered = text.split("--attack NAME ")[-1].split(", or package.module:attack")[0].split(", ")
    assert [name for name in offered if name in names] == names
    assert "n_fgsm" not in offered
    assert "default: zero --loss" in text
    with pytest.raises(SystemExit):
        judge(["--attack", "apgd", "--help"])
    assert "default: uniform --loss" in " ".join(capsys.readouterr().out.split())
