"""A check and a table of one's own, by import path, and a defense in YAML alone."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from atlpa import credibility
from atlpa.attacks import FGSM
from atlpa.cli.eval import main as judge
from atlpa.cli.report import main as report
from atlpa.cli.train import main as train
from atlpa.evaluation.checks import CHECKS
from atlpa.records import Credibility
from atlpa.runs import Run
from tests.exercises import conftest


@pytest.fixture
def run(tiny_run):
    """A trained network's folder."""
    folder = Path("runs/pat")
    shutil.copytree(tiny_run("pat").folder, folder)
    return str(folder)


def test_they_are_short():
    assert conftest.lines("check.py") <= 15
    assert conftest.lines("table.py") <= 20
    assert conftest.lines("defense.yaml") <= 10


class LeftOrRight(nn.Module):
    """Tells on which side an image is bright, which mirroring turns round, or how bright it is, which it does not."""

    def __init__(self, sides):
        super().__init__()
        self.sides = sides

    def forward(self, images):
        left, right = images[..., :4].mean(dim=(1, 2, 3)), images[..., 4:].mean(dim=(1, 2, 3))
        return torch.stack([left, right] if self.sides else [left + right, 2 - left - right], dim=1)


@pytest.mark.parametrize(("sides", "status"), [(True, "fail"), (False, "pass")])
def test_a_check_of_ones_own(sides, status):
    from outside.check import check

    model = LeftOrRight(sides)
    images = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = model(images).argmax(dim=1)
    findings = credibility(model, images, labels, 0.03, checks=[CHECKS["clean accuracy"], check])
    assert [finding.check for finding in findings] == ["clean accuracy", "mirrored"]
    assert findings[1].status == status


def test_a_check_on_the_command_line(run, capsys):
    command = ["--run", run, "--check", "--limit", "8"]
    assert judge([*command, "--add-check", "outside.check:check"]) == 0
    assert "| mirrored" in capsys.readouterr().out
    (path,) = Path(run, "records").glob("credibility-*.json")
    assert Credibility.load(path).findings[-1].check == "mirrored"
    assert judge(["--run", run, "--add-check", "outside.check:check"]) == 2
    assert judge([*command, "--add-check", "guesing"]) == 2
    assert "unknown check 'guesing'; did you mean 'guessing'?" in capsys.readouterr().err
    assert judge([*command, "--add-check", "os:getcwd"]) == 2
    assert "check 'os:getcwd' is a builtin_function_or_method; give a Check" in capsys.readouterr().err


def test_a_table_of_ones_own(run, capsys):
    assert judge(["--run", run, "--threat", "white", "--limit", "8", "--iters", "2"]) == 0
    capsys.readouterr()
    assert report([run, "--table", "outside.table:losses"]) == 0
    out = capsys.readouterr().out
    assert "**What white-box attacks take**" in out
    assert "Clean minus robust accuracy." in out


def test_a_defense_in_yaml_alone(capsys):
    config = Path(conftest.__file__).parent / "outside" / "defense.yaml"
    assert train(["--config", str(config), "--output", "run"]) == 0
    experiment = Run.open(Path("run")).experiment
    assert experiment.defense.training_attack(experiment.training.attack) == FGSM(8 / 255)
    (line,) = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines() if "terms" in line][-1:]
    assert line["terms"].keys() == {"cross_entropy"}
    assert line["clean_accuracy"] is None
    capsys.readouterr()
