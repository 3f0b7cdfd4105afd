"""What travels in wheel and sdist, what is said about both, and that no two modules of a package need each other."""

import ast
import graphlib
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import atlpa
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


def test_the_sdist_builds_the_same_wheel_and_holds_what_its_tests_need(wheel, tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run([*command, "-t", "sdist"], cwd=REPOSITORY, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as content:
        content.extractall(tmp_path, filter="data")
    unpacked = tmp_path / path.name.removesuffix(".tar.gz")
    needed = {
        "tests",
        "benchmarks",
        "scripts",
        "docs",
        "website",
        "examples",
        "mkdocs.yml",
        ".github",
        ".pre-commit-config.yaml",
        "CITATION.cff",
    }
    pages = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
    assert needed | pages <= {one.name for one in unpacked.iterdir()}
    subprocess.run([*command, "-t", "wheel"], cwd=unpacked, check=True, capture_output=True)
    (again,) = tmp_path.glob("*.whl")
    (ours, theirs) = ({one.filename: one.CRC for one in zipfile.ZipFile(which).infolist()} for which in (wheel, again))
    assert ours == theirs


USER = """\
from atlpa.losses import ATLPALoss

objective = ATLPALoss(alpha=0.1)
alpha: str = objective.alpha
ATLPALoss(alpha="much")
"""


MYPY = """\
[mypy]
follow_imports = skip
[mypy-atlpa,atlpa.losses,atlpa.losses.*]
follow_imports = normal
"""
CHECKERS = {
    "mypy": (["--strict", "--python-executable"], r"user\.py:(\d+): error: .*\[(.+)\]", ["assignment", "arg-type"]),
    "pyright": (
        ["--pythonpath"],
        r"user\.py:(\d+):\d+ - error: [^(]*\((\w+)\)",
        ["reportAssignmentType", "reportArgumentType"],
    ),
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_types_reach_a_users_file(checker, wheel, tmp_path):
    """In an environment with the wheel and nothing else, where only ``py.typed`` lets a type checker look inside."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    packages = tmp_path / "venv" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    zipfile.ZipFile(wheel).extractall(packages)
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "mypy.ini").write_text(MYPY)
    options, line, wrong = CHECKERS[checker]
    command = [sys.executable, "-m", checker, *options, str(python), "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert re.findall(line, done.stdout) == [("4", wrong[0]), ("5", wrong[1])], done.stdout


def test_every_file_names_the_same_version_and_pythons():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == atlpa.__version__
    job = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "test.yml").read_text())["jobs"]["test"]
    pythons = job["strategy"]["matrix"]["python"]
    assert [f"Programming Language :: Python :: {one}" for one in pythons] == [
        one for one in project["classifiers"] if "Python" in one
    ]
    assert project["requires-python"] == f">={pythons[0]}"
    assert {"run": "make test"} in job["steps"]


def test_before_a_commit_runs_the_ruff_that_the_project_asks_for():
    (ours,) = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    developers = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    (wanted,) = [one for one in developers if one.startswith("ruff")]
    assert [hook["additional_dependencies"] for hook in ours["hooks"]] == [[wanted]] * 2


def test_what_tests_need_is_what_users_are_offered():
    """Each extra that tests use, in the same range for developers."""
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in ("attacks", "networks", "export", "tensorboard"):
        assert set(extras[extra]) <= set(extras["dev"])


def test_the_page_for_contributors_points_at_what_is_there():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    links = set(re.findall(r"\]\(([^)]+)\)", text))
    assert {"docs/design.md", "tests/exercises/outside/term.py"} <= links
    assert [link for link in links if not (REPOSITORY / link).is_file()] == []
    there = {
        path.name for path in (REPOSITORY / "tests/exercises/outside").iterdir() if path.suffix in (".py", ".yaml")
    }
    assert there - {"__init__.py"} == {Path(link).name for link in links if "/outside/" in link}


def release_notes(*arguments):
    command = [sys.executable, str(REPOSITORY / "scripts" / "release_notes.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_notes_of_a_release_are_its_part_of_the_changelog():
    whole = (REPOSITORY / "CHANGELOG.md").read_text()
    done = release_notes(atlpa.__version__)
    assert done.returncode == 0
    assert done.stdout.startswith("### ")
    assert "\n## " not in done.stdout
    assert done.stdout.strip() in whole
    before, _, after = whole.partition(done.stdout.strip())
    assert before.rstrip().splitlines()[-1].startswith(f"## [{atlpa.__version__}]")
    assert not after.strip() or after.strip().startswith("## ")
    unknown = release_notes("9.9.9")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("CHANGELOG.md has no version '9.9.9'; it has: ")


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
