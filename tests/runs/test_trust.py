"""Runs that name code which is not ours: a stranger's runs nothing on opening, one's own says what it uses."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from atlpa.cli.analyze import main as analyze
from atlpa.cli.eval import main as judge
from atlpa.errors import UserError
from atlpa.experiment import _described, load
from atlpa.registry import UntrustedCode
from atlpa.runs import Run, finished_runs, train_run
from atlpa.training import load_checkpoint, save_checkpoint

HARMFUL = "import pathlib\npathlib.Path('harm').touch()\n"
TERM = """\
from atlpa.defenses.classification import CrossEntropy

class Halved(CrossEntropy):
    def of(self, logits, labels):
        return super().of(logits, labels) / 2
"""
FIELDS = {"training.iterations": 1, "training.batch_size": 4, "data.size": 16, "model.architecture": "small_cnn"}
SHORT = [word for field, value in FIELDS.items() for word in ("--set", f"{field}={value}")]


def package(name, version=None, announced=""):
    """A package in the current folder with one module; installed, as far as Python can tell, if it has a version."""
    Path(name).mkdir(exist_ok=True)
    (Path(name) / "__init__.py").touch()
    (Path(name) / "losses.py").write_text(TERM)
    if version:
        about = Path(f"{name}-1.dist-info")
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (about / "top_level.txt").write_text(f"{name}\n")
        (about / "entry_points.txt").write_text(f"[atlpa.terms]\n{announced}\n")


def forget(monkeypatch):
    """As in a process that was asked for nothing yet."""
    monkeypatch.setattr("atlpa.registry._imported", {})
    _described.cache_clear()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current folder, where ``harmful`` would leave a trace if anything imported it; nothing is known yet."""
    forget(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("harmful.py").write_text(HARMFUL)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def strangers(tiny_run):
    """A run whose experiment.yaml is changed: dotted field → value."""

    def make(field, value):
        run = shutil.copytree(tiny_run("pat").folder, Path("runs/theirs"))
        fields = yaml.safe_load((run / "experiment.yaml").read_text())
        *sections, last = field
        inner = fields
        for section in sections:
            inner = inner[section]
        inner[last] = value
        (run / "experiment.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
        return str(run)

    return make


def atlpa(command, *arguments):
    """A command as its script starts it, in a process of its own that has imported nothing yet."""
    return subprocess.run([f"atlpa-{command}", *arguments], check=False, capture_output=True, text=True)


@pytest.mark.parametrize("path", ["harmful:Term", "os:system", "harmful.sub:Term"])
@pytest.mark.parametrize(
    ("field", "named", "what"),
    [
        (("defense", "terms"), lambda path: {"cross_entropy": {}, path: {}}, "loss term"),
        (("data", "name"), str, "data set"),
        (("training", "attack"), lambda path: {"name": path}, "attack"),
        (("defense", "attack"), lambda path: {"name": path}, "attack"),
        (("training", "trackers"), lambda path: [path], "tracker"),
    ],
)
def test_opening_a_strangers_run_imports_nothing(strangers, capsys, field, named, what, path):
    run = strangers(field, named(path))
    for main, arguments in ((judge, ["--run", run]), (judge, ["--run", run, "--check"]), (analyze, [run])):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{run}/experiment.yaml: " in line
        assert f"{what} {path!r} is code that no installed package announces" in line
        assert "--trust-code" in line
    with pytest.raises(UntrustedCode):
        Run.open(Path(run))
    assert not Path("harm").exists()


def test_nor_does_looking_for_the_newest_run_or_for_sources_beside_one(strangers, tiny_run, capsys):
    """The newest is not passed over in silence: another network would be judged than the one just trained."""
    run = strangers(("defense", "terms"), {"harmful:Term": {}})
    for main in (judge, analyze):
        assert main([]) == 2
        assert "loss term 'harmful:Term' is code" in capsys.readouterr().err
    assert finished_runs(Path("runs")) == []
    shutil.copytree(tiny_run().folder, "runs/ours")
    assert [one.folder.name for one in finished_runs(Path("runs"))] == ["ours"]
    assert run == "runs/theirs"
    assert not Path("harm").exists()


def test_nor_does_a_checkpoint(strangers):
    run = Run.open(Path(strangers(("seed",), 0)))
    checkpoint = load_checkpoint(run.checkpoint_path)
    fields = json.loads(json.dumps(checkpoint.experiment))
    fields["defense"]["terms"]["harmful:Term"] = {}
    save_checkpoint(replace(checkpoint, experiment=fields), run.checkpoint_path)
    with pytest.raises(UserError, match=r"last\.pt belongs to another experiment than its folder: .*'harmful:Term'"):
        run.load_model(torch.device("cpu"))
    assert not Path("harm").exists()


def test_nor_does_repeating_what_a_bundle_claims(strangers, capsys):
    """Its run is harmless, but an attack on record is not; trusted, it is looked for in that file."""
    run = Path(strangers(("seed",), 0))
    assert judge(["--run", str(run), "--threat", "white", "--limit", "4", "--eps", "0.03", "--iters", "1"]) == 0
    (record,) = [path for path in (run / "records").glob("white*") if '"count": 4' in path.read_text()]
    record.write_text(record.read_text().replace('"name": "pgd"', '"name": "harmful:Attack"'))
    assert judge(["--run", str(run), "--bundle", "theirs.zip"]) == 0
    capsys.readouterr()
    assert judge(["--verify", "theirs.zip"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "attack 'harmful:Attack' is code that no installed package announces" in line
    assert not Path("harm").exists()
    assert judge(["--verify", "theirs.zip", "--trust-code"]) == 2
    assert "has no attribute 'Attack'" in capsys.readouterr().err
    assert Path("harm").exists()


def test_nor_does_training_where_such_a_run_lies(strangers):
    run = strangers(("defense", "terms"), {"harmful:Term": {}})
    with pytest.raises(UserError, match=r"holds another experiment: .*'harmful:Term' is code"):
        train_run(load("digits", [("output", run)]))
    assert not Path("harm").exists()


def test_what_was_trusted_once_is_known_and_nothing_else_is(strangers):
    package("halving")
    run = Path(strangers(["defense", "terms"], {"halving.losses:Halved": {}}))
    with pytest.raises(UntrustedCode):
        Run.open(run)
    Run.open(run, trust_code=True)
    assert "halving.losses:Halved" in Run.open(run).experiment.defense.terms
    description = run / "experiment.yaml"
    description.write_text(description.read_text().replace("halving.losses:Halved", "harmful:Term"))
    for _ in range(2):
        with pytest.raises(UntrustedCode):
            Run.open(run)
    assert not Path("harm").exists()


def test_ones_own_code_by_its_path_in_processes_of_their_own():
    """Trained without more ado; judged when asked to; what it uses is said, and that it has changed since."""
    package("halving", "1.2")
    path = "halving.losses:Halved"
    term = ["--set", f"defense.terms.{path}.weight=0.5", "--output", "runs/mine"]
    done = atlpa("train", "--config", "digits", *term, *SHORT)
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load(Path("runs/mine/experiment.yaml").read_text())
    assert written["code"] == {path: "halving 1.2"}
    arguments = ["--limit", "4", "--iters", "1", "--threat", "white"]
    refused = atlpa("eval", *arguments)
    assert refused.returncode == 2
    assert f"loss term '{path}' is code that no installed package announces" in refused.stderr
    assert "--trust-code" in refused.stderr
    done = atlpa("eval", *arguments, "--trust-code")
    assert done.returncode == 0, done.stderr
    assert f"note: runs/mine uses {path} of halving 1.2\n" in done.stdout


def test_entry_points_need_no_trust_and_versions_are_compared(capsys):
    package("announcing", "1.2", "halved = announcing.losses:Halved")
    run = train_run(
        load("digits", [("defense.terms", {"halved": {}}), *FIELDS.items(), ("output", "runs/mine")]),
        say=lambda _: None,
    )
    written = yaml.safe_load((run.folder / "experiment.yaml").read_text())
    assert written["code"] == {"halved": "announcing 1.2"}
    judged = ["--run", "runs/mine", "--limit", "4", "--iters", "1", "--threat", "white"]
    assert judge(judged) == 0
    assert "note: runs/mine uses halved of announcing 1.2\n" in capsys.readouterr().out
    package("announcing", "1.3", "halved = announcing.losses:Halved")
    assert judge(judged) == 0
    expected = "note: runs/mine uses halved of announcing 1.3, but was begun with announcing 1.2\n"
    assert expected in capsys.readouterr().out
    assert Run.open(run.folder).experiment.identity() == run.experiment.identity()


@pytest.mark.parametrize(
    ("announced", "message"),
    [
        ("halved = failing.nothing:Halved", "loss term 'halved' of failing 2 fails: No module named 'failing.nothing'"),
        ("halved = failing.losses:CrossEntropi", "loss term 'halved' of failing 2 fails: .*CrossEntropi"),
        ("halved = os:system", "loss term 'halved' is no subclass of atlpa.defenses.Term"),
        ("half = failing.losses:Halved", "unknown loss term 'halved'; did you mean 'half'"),
    ],
)
def test_an_entry_point_that_leads_nowhere(announced, message):
    package("failing", "2", announced)
    with pytest.raises(UserError, match=message):
        load("digits", [("defense.terms", {"halved": {}})])
