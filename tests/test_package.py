"""What travels in the wheel, and that no two modules of a package need each other."""

import ast
import graphlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from atlpa.defenses import preset_names
from atlpa.experiment import shipped_configs
from atlpa.studies import shipped_studies

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_configs_presets_and_types_travel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"atlpa/configs/{name}.yaml" for name in shipped_configs()} <= names
    assert {f"atlpa/configs/studies/{name}.yaml" for name in shipped_studies()} <= names
    assert {f"atlpa/defenses/presets/{name}.yaml" for name in preset_names()} <= names
    drawn = ("page.css", "page.js", "paper_table1.csv", "paper_table2.csv", "paper_table3.csv")
    assert {f"atlpa/report/{name}" for name in drawn} <= names
    assert "atlpa/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "docs", "scripts"))]


def test_shipped_configs_are_found_without_a_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import atlpa, atlpa.experiment as e; print(atlpa.__file__, e.load('flowers.yaml').model.architecture)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(tmp_path / "atlpa" / "__init__.py"), "resnet101"]


def imports():
    """Module → the modules of ours that it imports, for types alone too."""
    modules = {}
    for path in sorted((REPOSITORY / "atlpa").rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    found = {}
    for name, tree in modules.items():
        named = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        of_each = [(node.module, f"{node.module}.{alias.name}") for node in named for alias in node.names]
        plain = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        wanted = {inner if inner in modules else outer for outer, inner in of_each} | set(plain)
        found[name] = (wanted & set(modules)) - {name}
    return found


def test_no_imports_go_round_in_a_circle():
    graph = imports()
    assert "atlpa.records" in graph["atlpa.report.results"]
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_names_at_the_top_are_those_of_their_packages_and_come_when_asked_for():
    script = """
import sys, atlpa
assert "torch" not in sys.modules
from atlpa import ATLPALoss, FGSM, PGD, Attack, AutoAttack, Square, credibility, evaluate, record_stages
import atlpa.attacks, atlpa.evaluation, atlpa.losses, atlpa.models
assert PGD is atlpa.attacks.PGD and Attack is atlpa.attacks.Attack and ATLPALoss is atlpa.losses.ATLPALoss
assert evaluate is atlpa.evaluation.evaluate and credibility is atlpa.evaluation.credibility
assert record_stages is atlpa.models.record_stages
assert {"PGD", "evaluate", "ATLPALoss"} < set(dir(atlpa))
try:
    atlpa.PDG
except AttributeError as error:
    assert "'PDG'" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_losses_need_torch_alone():
    names = ("pydantic", "torchvision", "yaml", "tqdm", "matplotlib", "sklearn", "scipy", "timm")
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({names!r})); from atlpa.losses import ATLPALoss; ATLPALoss()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
