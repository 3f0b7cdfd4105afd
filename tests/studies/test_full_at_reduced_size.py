"""The studies at the paper's size, every step of theirs carried out: smaller networks and images, few of everything."""

import pytest
import yaml

from atlpa.cli.study import main
from atlpa.report import collect
from atlpa.studies import shipped_studies
from tests.data.bmw10_release import release_photographs
from tests.narrow import NARROW

pytestmark = pytest.mark.long

SMALL = {"model.architecture": NARROW, "model.weights": "none", "data.resize": 40, "data.size": 36}
SHORT = {"training.iterations": 2, "training.batch_size": 4, "training.log_every": 1}
FEW = {
    "changes": SMALL | SHORT,
    "defenses": ["none", "atlpa"],
    "seeds": [0],
    "black_box": "resnet18",
    "surrogates": ["atlpa"],
    "epsilons": [8 / 255, 0.25],
    "budgets": [1, 2],
    "limit": 4,
    "checks": [0.25],
    "check_limit": 1,  # Square asks 10 000 times of whatever stands
    "analysis_limit": 20,
}


TABLES = {"table1", "table1-paper", "table2", "attention-maps", "significance", "transfer"}


@pytest.fixture
def carried_out(data_root, tmp_path, monkeypatch):
    """``carried_out(name)`` carries the reduced study out, twice; gives its folder."""
    monkeypatch.chdir(tmp_path)

    def carry(name, root=data_root, **fewer):
        study = yaml.safe_load(shipped_studies()[name].read_text())
        assert set(FEW) - {"limit", "check_limit", "analysis_limit", "changes"} <= set(study)
        (tmp_path / "reduced.yaml").write_text(yaml.safe_dump(study | FEW | fewer))
        for _ in range(2):
            assert main(["reduced.yaml", "--data-root", str(root)]) == 0
        return tmp_path / "runs" / "reduced"

    return carry


def made(results):
    """Threat, attack and ε of what was measured."""
    return {(one.threat, one.attack["name"], one.attack["epsilon"]) for one in results.evaluations}


def drawn(folder, ending):
    """The tables or figures that lie beside the runs."""
    return {path.stem for path in folder.glob(f"*{ending}")}


def test_flowers(carried_out):
    folder = carried_out("flowers")
    results = collect([folder])
    threats = ("white", "gray", "black", "surrogate")
    asked = {(threat, "pgd", epsilon) for threat in threats for epsilon in (8 / 255, 0.25)}
    assert made(results) == asked | {("white", "ensemble", 8 / 255)}
    assert {(one.target.defense, one.epsilon) for one in results.checks} == {("none", 0.25), ("atlpa", 0.25)}
    assert TABLES | {"table3", "landscape-ranges"} <= drawn(folder, ".tex")
    # Figures 3 and 5 to 8.
    assert {"curves", "training", "attention", "embedding", "landscape"} <= drawn(folder, ".png")


def test_bmw(carried_out, data_root, tmp_path):
    """On the 151 photographs of three classes that are at hand, with boxes of our own."""
    release_photographs(data_root, tmp_path)
    folder = carried_out("bmw", tmp_path, epsilons=[0.25], checks=[], analyses=["attention", "regions"])
    results = collect([folder])
    assert made(results) == {(threat, "pgd", 0.25) for threat in ("white", "gray", "black", "surrogate")}
    assert {(one.data.dataset, one.data.available) for one in results.evaluations} == {("bmw10", 50)}
    assert drawn(folder, ".tex") >= TABLES
    assert "61 / " in (folder / "table.md").read_text()  # the paper's, gray-box at 0.25
