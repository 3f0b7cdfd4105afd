"""What a study asks of transfer: further attacks, sources attacked jointly, 8-bit images."""

from pathlib import Path

import pytest

from atlpa.attacks import BSR, NIFGSM, PGD
from atlpa.cli.study import main
from atlpa.component import validate
from atlpa.records import Evaluation
from atlpa.studies import plan
from atlpa.studies.study import Study
from tests.narrow import NARROW


def digits(**changes):
    fields = {"name": "digits", "config": "digits", "defenses": ["pat"], "epsilons": [0.1], "black_box": "resnet34"}
    return validate(Study, {**fields, **changes})


SEVERAL = [{"name": "ni_fgsm", "scales": 5}, {"name": "bsr", "copies": 2}]


def test_further_attacks_are_transferred_alone_and_sources_jointly_too():
    found = plan(digits(transfers=SEVERAL, joint=True, budgets=[7])).attacks
    kinds = [(step.protocol.attack, step.white_box, len(step.sources), len(step.targets)) for step in found]
    transferred = [(False, 1, 2), (False, 1, 2), (False, 2, 1)]
    assert kinds[:6] == [(PGD(0.1, iterations=7), *kind) for kind in [(True, 1, 1)] * 3 + transferred]
    assert kinds[6:] == [
        (attack, *kind) for attack in (NIFGSM(0.1, scales=5), BSR(0.1, copies=2)) for kind in transferred
    ]
    assert found[8].title == ("transfer to 1 SI-NI-FGSM, none-resnet18-seed0-final + none-resnet34-seed0-final, ε 0.1")
    assert [one.folder.name for one in found[8].needs()] == [
        "none-resnet18-seed0-final",
        "none-resnet34-seed0-final",
        "pat-resnet18-seed0-final",
    ]


def test_a_judge_that_does_not_transfer_may_stand_beside_attacks_that_do():
    found = plan(digits(attack={"name": "autoattack"}, transfers=SEVERAL[1:])).attacks
    assert [step.white_box for step in found] == [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transfers": [{"name": "square"}]}, "transfers: images of square say nothing about other networks"),
        ({"transfers": [{"name": "bsr", "epsilon": 0.1}]}, "transfers: ε is set by the study's own epsilons"),
        ({"transfers": [{"name": "bsr", "copiez": 1}]}, "transfers.*did you mean 'copies'"),
        ({"transfers": [{"name": "bsr"}, {"name": "bsr", "copies": 3}]}, "BSR-MI-FGSM is listed twice"),
        ({"transfers": [{"name": "pgd"}]}, "pgd is listed twice"),
        ({"joint": True, "black_box": None}, "joint: the gray-box source is the only one"),
        ({"attack": {"name": "square"}, "black_box": None, "eight_bit": True}, "eight_bit: the attack square is not"),
        ({"attack": {"name": "square"}, "checks": [0.1], "joint": True}, "joint: the attack square is not transferred"),
    ],
)
def test_what_a_study_cannot_transfer(changes, words):
    with pytest.raises(ValueError, match=words):
        digits(**changes)


def test_two_sources_of_one_architecture_are_one():
    with pytest.raises(ValueError, match="joint: gray and black box are both resnet18; name another black_box"):
        plan(digits(joint=True, black_box="resnet18"))


STUDY = f"""
config: digits
changes: {{training.iterations: 1, training.batch_size: 4, model.architecture: "{NARROW}"}}
defenses: [pat]
black_box: small_cnn
attack: {{name: fgsm}}
transfers: [{{name: si_fgsm, iterations: 2, scales: 2}}]
joint: true
eight_bit: true
judge: null
epsilons: [0.1]
limit: 3
"""


def test_from_nothing_to_the_records(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(STUDY)
    assert main(["mine.yaml", "--only", "train"]) == 0
    assert main(["mine.yaml", "--only", "evaluate"]) == 0
    records = [Evaluation.load(path) for path in Path("runs/mine").glob("pat-*/records/*-*.json")]
    kinds = sorted((record.attack["name"], record.threat, record.eight_bit) for record in records)
    assert kinds == [
        ("fgsm", "black", True),
        ("fgsm", "gray", True),
        ("fgsm", "transfer", True),
        ("fgsm", "white", False),
        ("si_fgsm", "black", True),
        ("si_fgsm", "gray", True),
        ("si_fgsm", "transfer", True),
    ]
    capsys.readouterr()
    assert main(["mine.yaml", "--plan"]) == 0
    assert "to do" not in capsys.readouterr().out


def test_a_kernel_larger_than_the_images_is_found_before_the_first_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(STUDY.replace("{name: si_fgsm,", "{name: ti_fgsm, kernel: 99,"))
    assert main(["mine.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "digits has images of 32 pixels a side; ti_fgsm as it is set needs at least 99" in line
    assert not Path("runs").exists()
