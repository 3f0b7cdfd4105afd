"""Trainings that begin with the weights of another: which is said, never judged on what it saw, never undefended."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atlpa.cli.eval import main as judge
from atlpa.cli.train import main as train
from atlpa.runs import Run
from atlpa.runs.initial_weights import undefended
from atlpa.runs.threats import threat_of
from tests.narrow import NARROW
from tests.runs.test_selection import quietly, selecting

SHORT = ["--set=training.iterations=2", f"--set=model.architecture={NARROW}", "--set=model.weights=before"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that selects by the validation part, one that is trained on it, and one that never sees it."""
    folder = tmp_path_factory.mktemp("trained")
    quietly(selecting(folder / "selecting"))
    quietly(selecting(folder / "final", ("training.select_by", None), ("final", True)))
    quietly(selecting(folder / "development", ("training.select_by", None)))
    return folder


@pytest.fixture(autouse=True)
def here(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def begin(trained, name, *options):
    """Train from one of them, by the command; its exit status."""
    shutil.copytree(trained / name, "before")
    return train(["--config", "digits", "--defense", "pat", *SHORT, *options, "--output", "after"])


@pytest.mark.parametrize(
    ("name", "options", "seen"),
    [
        ("final", [], "validation"),
        ("selecting", [], "validation"),
        ("development", [], None),
        ("final", ["--final"], None),
        ("selecting", ["--final"], None),
    ],
)
def test_no_network_is_judged_on_what_shaped_its_first_weights(trained, name, options, seen, capsys):
    status = begin(trained, name, *options)
    out, err = capsys.readouterr()
    if seen:
        assert status == 2
        assert "model.weights: before/" in err
        assert f"of the images of the {seen} part that this network is to be judged on" in err
        assert not Path("after").exists()
    else:
        assert status == 0
        assert f"note: begins with before/{'best' if name == 'selecting' else 'last'}.pt, pat after step " in out


def test_a_file_that_lies_elsewhere_is_known_all_the_same(trained, capsys):
    shutil.copy(trained / "final" / "last.pt", "net.pt")
    options = ["--config", "digits", *SHORT[:2], "--set=model.weights=net.pt", "--output", "after"]
    assert train(options) == 2
    assert "model.weights: net.pt has learned from the train and the validation part" in capsys.readouterr().err


def photographs(folder, shade):
    """Ten of each of two classes."""
    for label in ("dark", "light"):
        (folder / label).mkdir(parents=True)
        for number in range(10):
            colors = np.random.default_rng(number).integers(0, 100, (16, 16, 3)) + shade * (label == "light")
            Image.fromarray(colors.astype(np.uint8)).save(folder / label / f"{number}.png")


@pytest.mark.parametrize(("changes", "status"), [([], 0), (["data.split_seed=1"], 2), (["data.root=other"], 0)])
def test_the_same_images_parted_otherwise_are_known_by_their_names(changes, status, capsys):
    """Images of the same names elsewhere are taken for the same only where all are as they were."""
    photographs(Path("photos"), 100)
    photographs(Path("other"), 100)
    Path("other/light/9.png").unlink()
    Path("own.yaml").write_text(
        "data: {name: folder, root: photos, resize: 32, size: 32}\n"
        "model: {architecture: resnet18, weights: none}\ndefense: pat\n"
        "training: {iterations: 2, batch_size: 4, attack: {epsilon: 0.1, step: 0.1, iterations: 1}}\n"
    )
    assert train(["--config", "own.yaml", "--output", "before"]) == 0
    options = [f"--set={change}" for change in ("model.weights=before", *changes)]
    assert train(["--config", "own.yaml", *options, "--output", "after"]) == status
    assert ("images of the validation part that this network" in capsys.readouterr().err) == bool(status)


def test_clean_training_of_what_a_defense_has_shaped_leaves_no_undefended_network(trained, capsys):
    assert begin(trained, "development", "--set=defense=none") == 2  # the option and --set
    shutil.rmtree("before")
    assert begin(trained, "development", "--set=defense.adversarial_fraction=0") == 0
    assert "it makes no undefended source" in capsys.readouterr().out
    tuned, target = Run.open(Path("after")), Run.open(trained / "development")
    assert tuned.experiment.undefended
    assert not tuned.undefended
    assert threat_of(target, tuned) == "transfer"
    assert judge(["--run", str(target.folder), "--threat", "gray", "--source", "after", "--limit", "8"]) == 2
    assert "none of the sources that were named makes a gray-box attack" in capsys.readouterr().err
    # Nor does a network that begins with that one, while its file is there.
    second = ["--set=model.weights=after", "--set=defense.adversarial_fraction=0", "--output", "third"]
    assert train(["--config", "digits", "--defense", "pat", *SHORT[:2], *second]) == 0
    assert not undefended(Run.open(Path("third")).experiment)
