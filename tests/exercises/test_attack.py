"""An attack of one's own: one file, and it is everywhere that ours are."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from atlpa import credibility
from atlpa.attacks import FGSM, PGD, read_attack
from atlpa.cli.eval import main
from atlpa.cli.train import main as train
from atlpa.evaluation import Check
from atlpa.experiment import load
from atlpa.records import Evaluation
from atlpa.runs import Run
from tests.exercises.conftest import lines

NAME = "outside.attack:RandomCorners"


@pytest.fixture
def runs(tiny_run):
    """Two networks side by side."""
    for run in (tiny_run(), tiny_run("pat")):
        shutil.copytree(run.folder, Path("runs") / run.folder.name, ignore=shutil.ignore_patterns("*.json"))
        (Path("runs") / run.folder.name / "records").mkdir(exist_ok=True)
        shutil.copy(run.training_record, Path("runs") / run.folder.name / "records")


def records(threat):
    return [Evaluation.load(path) for path in Path("runs/pat-resnet18/records").glob(f"{threat}-*.json")]


def test_it_is_short():
    assert lines("attack.py") <= 25


def test_on_tensors_and_the_model_is_left_as_found(small_cnn, images, labels):
    """A corner has every pixel ε away, unless 0 or 1 stops it; the loss kept never falls from one try to the next."""
    attack = read_attack({"name": NAME, "epsilon": 0.1, "tries": 4})
    before = {name: value.clone() for name, value in small_cnn.state_dict().items()}
    losses = []
    for corner in attack.iterates(small_cnn, images, labels, generator=torch.Generator().manual_seed(0)):
        away = (corner - images).abs()
        assert torch.all((away > 0.1 - 1e-9) | (corner == 0) | (corner == 1))
        assert small_cnn.training  # between two steps the model is as it was
        with torch.no_grad():
            losses.append(torch.nn.functional.cross_entropy(small_cnn.eval()(corner), labels, reduction="none"))
        small_cnn.train()
    assert len(losses) == 4
    assert all(torch.all(later >= earlier) for earlier, later in pairwise(losses))
    assert all(torch.equal(value, before[name]) for name, value in small_cnn.state_dict().items())


def test_white_box_and_transfer_from_the_command_line(runs, capsys):
    """Its budget is what --iters sets, its fields are set with --attack-set, and records name it as it was named."""
    command = ["--run", "runs/pat-resnet18", "--attack", NAME, "--eps", "0.1", "--limit", "8", "--iters", "1", "3"]
    assert main(command) == 0
    out = capsys.readouterr().out
    for threat in ("white", "gray"):
        (record,) = records(threat)
        assert record.attack == {"name": NAME, "epsilon": 0.1}
        assert [budget.iterations for budget in record.budgets] == [1, 3]
        assert 0 < record.budgets[1].linf_max <= 0.1 + 1e-6
    assert f"digits at 32×32; {NAME}, 3 iterates." in out
    assert main([*command[:-3], "--attack-set", "tries=2", "--threat", "white", "--json", "all.json"]) == 0
    assert [one["budgets"][0]["iterations"] for one in json.loads(Path("all.json").read_text())] == [2]


def test_a_field_that_it_does_not_have(runs, capsys):
    for arguments, words in (
        (["--step", "0.1"], f"--step has no meaning for --attack {NAME}"),
        (["--attack-set", "trys=3"], "unknown key 'trys'; did you mean 'tries'?"),
        (["--attack-set", "tries=many"], "tries: Input should be a valid integer, given 'many'"),
    ):
        assert main(["--run", "runs/pat-resnet18", "--attack", NAME, *arguments]) == 2
        assert words in capsys.readouterr().err
    assert main(["--run", "runs/pat-resnet18", "--attack", "sqare"]) == 2
    assert "unknown attack 'sqare'; did you mean 'square'?" in capsys.readouterr().err


def test_training_with_it(capsys):
    """As the attack of a recipe and of a defense; the run's folder says so, and resumes."""
    changes = ["--set", "training.iterations=2", "--set", "training.batch_size=4"]
    mine = ["--set", f"defense.attack.name={NAME}", "--set", "defense.attack.tries=2"]
    command = ["--config", "digits", "--defense", "pat", *changes, *mine, "--output", "run"]
    assert train(command) == 0
    assert train(command) == 0
    assert "is finished" in capsys.readouterr().out
    experiment = Run.open(Path("run")).experiment
    attack = experiment.defense.training_attack(experiment.training.attack)
    assert attack.settings() == {"name": NAME, "epsilon": 0.25, "tries": 2}  # ε is the recipe's


def test_the_attack_of_a_defense_is_merged_over_the_recipes():
    experiment = load("digits", [("defense", "trades"), ("training.attack.epsilon", "8/255")])
    attack = experiment.defense.training_attack(experiment.training.attack)
    assert attack == PGD(epsilon=8 / 255, step=0.125, iterations=2, loss="kl", start="uniform")
    experiment = load("digits", [("defense", "pat"), ("defense.attack", {"name": "fgsm"})])
    assert experiment.defense.training_attack(experiment.training.attack) == FGSM(0.25)
    with pytest.raises(ValueError, match=r"defense.attack: .*unknown key 'steq'; did you mean 'step'"):
        load("digits", [("defense", "pat"), ("defense.attack", {"steq": 1})])


def test_attacks_of_torchattacks_by_name(small_cnn, images, labels, runs, capsys):
    """They are torchattacks' own, pixel by pixel, and their arguments are fields."""
    import torchattacks

    model = small_cnn.eval()
    attack = read_attack({"name": "torchattacks:PGD", "epsilon": 8 / 255, "steps": 3, "random_start": False})
    theirs = torchattacks.PGD(model, eps=8 / 255, steps=3, random_start=False)(images, labels)
    assert torch.equal(attack(model, images, labels), theirs)
    command = ["--run", "runs/pat-resnet18", "--attack", "torchattacks:APGD", "--eps", "0.1", "--limit", "4"]
    assert main([*command, "--attack-set", "steps=2"]) == 0
    assert {record.threat for threat in ("white", "gray") for record in records(threat)} == {"white", "gray"}
    assert main([*command, "--attack-set", "stepz=2"]) == 2
    assert "did you mean 'steps'?" in capsys.readouterr().err
    assert main([*command, "--attack-set", "norm=L1"]) == 2
    assert "torchattacks:APGD measures ε in L1; evaluations measure L∞ and L2" in capsys.readouterr().err
    assert main(["--run", "runs/pat-resnet18", "--attack", "os:getcwd"]) == 2
    assert "attack 'os:getcwd' is no attack" in capsys.readouterr().err


THEIRS = {
    "torchattacks:PGD": "steps",
    "torchattack:PGD": "steps",
    "foolbox:LinfPGD": "steps",
    "art:ProjectedGradientDescent": "max_iter",
}


@pytest.mark.parametrize(("name", "steps"), THEIRS.items(), ids=THEIRS)
def test_attacks_of_every_package_from_the_command_line(name, steps, runs, capsys):
    pytest.importorskip(name.partition(":")[0])
    command = ["--run", "runs/pat-resnet18", "--attack", name, "--eps", "8/255", "--limit", "2", "--threat", "white"]
    assert main([*command, "--attack-set", f"{steps}=2"]) == 0
    (record,) = records("white")
    assert record.attack["name"] == name
    assert record.attack[steps] == 2
    assert 0 < record.budgets[0].linf_max <= 8 / 255 + 1e-6
    assert main([*command, "--attack-set", f"{steps}z=2"]) == 2
    assert f"unknown key '{steps}z'; did you mean '{steps}'?" in capsys.readouterr().err


def test_training_with_another_packages_attack():
    pytest.importorskip("foolbox")
    changes = ["--set", "training.iterations=1", "--set", "training.batch_size=2"]
    theirs = ["--set", "defense.attack.name=foolbox:LinfPGD", "--set", "defense.attack.steps=2"]
    assert train(["--config", "digits", "--defense", "pat", *changes, *theirs, "--output", "run"]) == 0
    experiment = Run.open(Path("run")).experiment
    attack = experiment.defense.training_attack(experiment.training.attack)
    assert attack.settings()["steps"] == 2
    assert attack.epsilon == 0.25  # the recipe's


@pytest.mark.parametrize("name", THEIRS)
def test_a_check_may_make_another_packages_attack(name, small_cnn, images, labels):
    """What it fells counts: nothing stands that it made fall."""
    pytest.importorskip(name.partition(":")[0])
    model, images = small_cnn.float().eval(), images.float()
    labels = model(images).argmax(dim=1)
    attack = read_attack({"name": name, "epsilon": 0.1})

    def make(context):
        adversarial = attack(context.model, context.images, context.labels)
        fell = context.under([context.attempt(attack)], context.clean)
        return "pass" if torch.equal(fell, model(adversarial).argmax(dim=1) == labels) else "fail", "compared"

    check = Check(name="theirs", expected="theirs", source="theirs", advice="none", make=make)
    assert [one.status for one in credibility(model, images, labels, 0.1, checks=[check])] == ["pass"]
