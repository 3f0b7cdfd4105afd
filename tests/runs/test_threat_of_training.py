"""Attacks of a training that the data or the machine does not admit are refused before there is a folder."""

from pathlib import Path

import pytest
from PIL import Image

from atlpa.errors import UserError
from atlpa.experiment import load
from atlpa.runs import train_run

DLR = {"name": "apgd", "loss": "dlr"}
AUTO = {"name": "autoattack"}


@pytest.fixture(autouse=True)
def two_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        Path("photos", name).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (12, 9), 10 * number).save(Path("photos", name, f"{number}.png"))
    Path("own.yaml").write_text(
        "data: {name: folder, root: photos, size: 16, resize: 16}\nmodel: {architecture: resnet18, weights: none}\n"
        "defense: pat\ntraining: {iterations: 2, batch_size: 4, attack: {iterations: 1}}\noutput: run\n"
    )


def carried_out(*changes):
    return train_run(load("own.yaml", changes), say=lambda _: None)


REFUSED = {
    "selecting by dlr": ([("training.select_by", DLR)], r"training\.select_by: folder has 2 classes; apgd as"),
    "selecting by the ensemble": ([("training.select_by", AUTO)], r"training\.select_by: folder has 2 classes; auto"),
    "training against dlr": ([("training.attack.loss", "dlr")], "training attack: folder has 2 classes; pgd as"),
    "what a defense makes of it": ([("defense.attack", {"loss": "dlr"})], "training attack: folder has 2 classes"),
    "being watched under dlr": (
        [("defense", "none"), ("training.attack.loss", "dlr")],
        r"training\.attack: folder has 2 classes; pgd as it is set needs at least 3",
    ),
    "a kernel larger than the images": (
        [("training.attack", {"name": "ti_fgsm", "kernel": 17})],
        "training attack: folder has images of 16 pixels a side; ti_fgsm as it is set needs at least 17",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_too_few_classes_or_pixels(kind, monkeypatch):
    monkeypatch.setattr("atlpa.attacks.AutoAttack.missing", classmethod(lambda _: None))
    changes, words = REFUSED[kind]
    with pytest.raises(UserError, match=words):
        carried_out(*changes)
    assert not Path("run").exists()


def test_a_final_run_without_a_defense_makes_no_attack():
    assert carried_out(("defense", "none"), ("training.attack.loss", "dlr"), ("final", True)).finished


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyautoattack", None)
    with pytest.raises(UserError, match=r"training\.select_by: autoattack cannot be made here: .*pip install"):
        carried_out(("training.select_by", AUTO))
    assert not Path("run").exists()


def test_another_norm_cannot_select(monkeypatch):
    monkeypatch.setattr("atlpa.attacks.FGSM.norm", "L1")
    with pytest.raises(UserError, match=r"training\.select_by: the attack fgsm measures ε in L1"):
        carried_out(("training.select_by", {"name": "fgsm"}))
    assert not Path("run").exists()
