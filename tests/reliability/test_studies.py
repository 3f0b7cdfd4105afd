"""Studies: nothing finished is lost, nothing is done twice, and what can be known before hours of work is."""

import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest
from PIL import Image

from atlpa.cli.study import main
from atlpa.runs.lock import InUse, run_lock
from atlpa.studies import execute, load_study, plan, training_step
from atlpa.studies.step import Step

STUDY = {
    "config": "digits",
    "changes": "{training.iterations: 2, training.batch_size: 4, model.architecture: small_cnn}",
    "defenses": "[none, rat]",
    "epsilons": "[0.25]",
    "budgets": "[1]",
    "limit": "4",
}


def write(**changes):
    fields = {**STUDY, **changes}
    Path("mine.yaml").write_text("".join(f"{name}: {value}\n" for name, value in fields.items() if value is not None))


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write()
    return Path("runs/mine")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The runs of the study, trained and judged once."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write()
        assert main(["mine.yaml"]) == 0
    return folder / "runs"


@pytest.fixture
def finished(runs, trained):
    shutil.copytree(trained, "runs")
    return runs


def refused(capsys, *arguments):
    capsys.readouterr()
    assert main(["mine.yaml", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WRONG = {
    "a row in a list": ({"defenses": "[[1]]"}, "defenses.0"),
    "a number for a row": ({"defenses": "[1]"}, "defenses.0"),
    "no row": ({"defenses": "[]"}, "defenses"),
    "an empty row": ({"defenses": "[{}]"}, "defense.name: Field required"),
    "a list for a preset": ({"defenses": "[{preset: [1]}]"}, "unknown defense"),
    "a row that leaves": ({"defenses": "[{preset: rat, name: '..'}]"}, "defense.name"),
    "a list for an attack": ({"attack": "{name: [1]}"}, "unknown attack"),
    "a mapping for an attack": ({"attack": "{name: {}}"}, "unknown attack"),
    "a number for a field of the attack": ({"attack": "{1: 2}"}, "attack.1"),
    "a number for a field": ({"changes": "{1: 2}"}, "changes.1"),
    "no field": ({"changes": "{'': 2}"}, "changes: ''"),
    "dots for a field": ({"changes": "{'..': 2}"}, "changes: '..'"),
    "a value for a section": ({"changes": "{data: 5}"}, "data: "),
    "the folder": ({"changes": "{output: elsewhere}"}, "changes: 'output' cannot be among them"),
    "the name": ({"changes": "{name: other}"}, "changes: 'name' cannot be among them"),
    "the name behind a dot": ({"changes": "{.name: other}"}, "changes: '.name' cannot be among them"),
    "the seed": ({"changes": "{seed: 1}"}, "changes: 'seed' cannot be among them; what says it is seeds"),
    "whether it is final": ({"changes": "{final: false}"}, "changes: 'final' cannot be among them"),
    "the defense": ({"changes": "{defense: pat}"}, "changes: 'defense' cannot be among them"),
    "a part of the defense": ({"changes": "{defense.name: x}"}, "changes: 'defense.name' cannot be among them"),
    "what was imported": ({"changes": "{code: {a: b}}"}, "changes: 'code' cannot be among them"),
    "a folder for a config": ({"config": "'..'"}, "no file '..'"),
    "a list for a config": ({"config": "[digits]"}, "config: "),
    "a mapping for a network": ({"black_box": "{}"}, "black_box: "),
    "a fraction for a seed": ({"seeds": "[1.5]"}, "seeds.0"),
    "a seed for seeds": ({"seeds": "5"}, "seeds: "),
    "a huge seed": ({"seeds": f"[{10**30}]"}, "seeds.0"),
    "no number": ({"epsilons": "[.nan]"}, "epsilons.0"),
    "nested numbers": ({"epsilons": "[[0.25]]"}, "epsilons.0"),
    "a budget without end": ({"budgets": f"[{10**20}]"}, "budgets.0"),
    "truth for a budget": ({"budgets": "[true]"}, "budgets.0"),
    "a name that leaves": ({"name": "'..'"}, "name: "),
    "a name with a slash": ({"name": "../mine"}, "name: "),
    "an analysis that is none": ({"analyses": "[dreams]"}, "analyses.0"),
    "a list for a surrogate": ({"surrogates": "[[rat]]"}, "surrogates.0"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_study_of_the_wrong_kind_is_one_line(runs, capsys, kind):
    changes, words = WRONG[kind]
    write(**changes)
    line = refused(capsys)
    assert words in line
    assert not Path("runs").exists()


CLASHES = {
    "other overrides": "[none, rat, {preset: rat, terms: {cross_entropy: {weight: 2}}}]",
    "another preset by its name": "[none, rat, {preset: pat, name: rat}]",
    "names that differ by case": "[none, rat, {preset: pat, name: RAT}]",
    "a row called like a source": "[{preset: rat, name: none}]",
    "a row called like a source, by case": "[rat, {preset: rat, name: None}]",
}


@pytest.mark.parametrize("kind", CLASHES)
def test_rows_that_would_lie_in_one_folder_are_refused_in_the_plan(runs, capsys, kind):
    write(defenses=CLASHES[kind])
    for arguments in (["--plan"], []):
        line = refused(capsys, *arguments)
        assert "would both lie in runs/mine/" in line
        assert "give one of them a name of its own" in line
    assert not Path("runs").exists()


def test_rows_with_names_of_their_own_lie_apart(runs):
    write(defenses="[none, rat, {preset: rat, name: rat-2, terms: {cross_entropy: {weight: 2}}}]")
    folders = [step.experiment.folder.name for step in plan(load_study("mine.yaml")).trainings]
    assert len({name.casefold() for name in folders}) == len(folders) == 3


def spoiled(folder, how):
    if how == "damaged":
        (folder / "experiment.yaml").write_text("{")
    elif how == "no run":
        (folder / "experiment.yaml").unlink()
    elif how == "unfinished":
        (folder / "records" / "training.json").unlink()
    if how in ("finished", "unfinished"):
        write(changes=STUDY["changes"].replace("iterations: 2", "iterations: 3"))


@pytest.mark.parametrize("how", ["finished", "unfinished", "damaged", "no run"])
def test_what_a_study_does_not_mean_is_moved_only_when_that_is_asked_for(finished, capsys, monkeypatch, how):
    """Found before the first training, in which ever row it lies; the report can be drawn all the same."""
    spoiled(finished / "rat-small_cnn-seed0-final", how)
    before, trainings = content(finished), []
    monkeypatch.setattr(training_step, "train_run", lambda experiment, _: trainings.append(experiment))
    for arguments in ([], ["--only", "train"], ["--shard", "1/1"]):
        line = refused(capsys, *arguments)
        assert "runs/mine/" in line
        assert "it is left as it is: give the study another name, or move what is there out of the way" in line
        assert ("training.iterations (2 there, 3 now)" in line) == (how in ("finished", "unfinished"))
    assert content(finished) == before
    assert trainings == []
    assert main(["mine.yaml", "--plan"]) == 0
    assert "| stale |" in capsys.readouterr().out
    assert main(["mine.yaml", "--only", "report"]) == 0

    assert main(["mine.yaml", "--only", "train", "--put-aside"]) == 0
    aside = {path.name.removesuffix(".stale-1"): path for path in finished.glob("*.stale-1")}
    assert "rat-small_cnn-seed0-final" in aside
    assert len(trainings) == len(aside)
    for name, path in aside.items():
        assert content(path) == {path / file.relative_to(finished / name): text for file, text in before.items()
                                 if file.is_relative_to(finished / name)}  # fmt: skip


class Shared(Step):
    """A step that another process may be at: it is in ``hands`` until ``pause`` has been called so often."""

    title, like, work = "", "kind", 1.0

    def __init__(self, title, world, hands=0, needs=()):
        self.title, self.world, self.hands, self.needs = title, world, hands, needs

    def state(self):
        if self.title in self.world.done:
            return "done"
        return "to do" if all(step.title in self.world.done for step in self.needs) else "waits"

    def awaited(self):
        return any(step.hands > self.world.pauses[0] for step in self.needs)

    def run(self, say=print):
        del say
        if self.hands > self.world.pauses[0]:
            raise InUse(f"{self.title} is in the hands of process 7", "wait for it")
        self.world.done.append(self.title)

    def files(self):
        return []

    def seconds(self):
        return None


World = namedtuple("World", "done pauses")


def shared(*steps, world):
    said = []

    def pause(_):
        world.pauses[0] += 1
        assert world.pauses[0] < 10

    execute(steps, said.append, pause)
    return said


def test_what_another_process_is_at_is_left_to_it_and_waited_for_at_the_end():
    world = World([], [0])
    one, two = Shared("one", world, hands=3), Shared("two", world)
    said = shared(one, two, Shared("three", world, needs=(one, two)), world=world)
    assert world.done == ["two", "one", "three"]
    assert world.pauses == [3]
    assert said[:3] == ["[1 of 3] one", "one is in the hands of process 7; the other steps go first", "[2 of 3] two"]
    assert len([line for line in said if "in the hands of another process" in line]) == 1


def test_a_shard_waits_for_networks_that_another_one_is_training_and_leaves_those_that_nobody_is():
    world = World([], [0])
    theirs, nobodys = Shared("theirs", world, hands=2), Shared("nobody's", world)
    first, second = Shared("first", world, needs=(theirs,)), Shared("second", world, needs=(nobodys,))

    def finish(_):
        world.pauses[0] += 1
        world.done.extend(["theirs"] * (world.pauses[0] == 2))
        assert world.pauses[0] < 10

    said = []
    execute([first, second], said.append, finish)
    assert world.done == ["theirs", "first"]
    assert said[-1].startswith("waiting for networks that are not trained yet: 1 of 2 steps; the same command")


@pytest.mark.parametrize("held", ["none-small_cnn-seed0-final", "rat-small_cnn-seed0-final"])
def test_a_training_that_runs_elsewhere_is_gone_around(runs, monkeypatch, capsys, held):
    """The lock is a real one; it is let go of while the study waits, and then the rest is made."""
    lock = run_lock(runs / held)
    lock.__enter__()
    order = []
    kept = training_step.train_run
    monkeypatch.setattr(training_step, "train_run", lambda e, say: (kept(e, say), order.append(e.folder.name)))
    monkeypatch.setattr(time, "sleep", lambda _: lock.__exit__(None, None, None))
    execute(plan(load_study("mine.yaml")).steps, print, lambda _: lock.__exit__(None, None, None))
    assert order[-1] == held
    assert len(order) == 2
    assert f"runs/mine/{held} is in the hands of process {os.getpid()}" in capsys.readouterr().out
    assert len(list(runs.glob("*/records/white-*.json"))) == 2


def test_an_attack_that_is_made_elsewhere_is_not_made_twice(finished, monkeypatch, capsys):
    """While its network's folder is owned its step waits; by then the record is there, and nothing is measured."""
    record = next(finished.glob("rat-*/records/white-*.json"))
    text = record.read_text()
    record.unlink()
    lock = run_lock(finished / "rat-small_cnn-seed0-final")
    lock.__enter__()

    def made(_):
        record.write_text(text)
        lock.__exit__(None, None, None)

    execute(plan(load_study("mine.yaml")).steps, print, made)
    assert record.read_text() == text
    assert "the other steps go first" in capsys.readouterr().out


def missing_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyautoattack", None)


FOREKNOWN = {
    "images kept in a file": ({}, ["--keep-images", "mine.yaml"], "--keep-images mine.yaml: "),
    "images kept below a file": ({}, ["--keep-images", "mine.yaml/deep"], "--keep-images mine.yaml/deep: "),
    "images that a pipe stands for": ({}, ["--keep-images", "pipe"], "--keep-images pipe: "),
    "more images than there is room": ({"limit": None}, ["--keep-images", "kept"], "GB are needed and 0.0 GB are free"),
    "a report in the place of a page": ({}, [], "index.html is a folder"),
    "a report below a file": ({"name": "taken"}, [], "the report cannot be written"),
    "an attack whose package is missing": (
        {"attack": "{name: autoattack}", "budgets": None},
        [],
        "the attack autoattack cannot be made here",
    ),
}


@pytest.mark.parametrize("kind", FOREKNOWN)
def test_what_an_evaluation_would_fail_of_is_found_before_the_first_training(runs, capsys, monkeypatch, kind):
    changes, arguments, words = FOREKNOWN[kind]
    write(**changes)
    monkeypatch.setattr(training_step, "train_run", lambda *_: pytest.fail("trained first"))
    missing_package(monkeypatch)
    os.mkfifo("pipe")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1_000_000))
    if "page" in kind:
        (runs / "index.html").mkdir(parents=True)
    Path("runs").mkdir(exist_ok=True)
    Path("runs/taken").write_text("a file")
    before = sorted(Path().rglob("*"))
    assert words in refused(capsys, *arguments)
    assert sorted(Path().rglob("*")) == before


def photographs():
    """Two classes without masks, and the experiment ``own.yaml`` on them."""
    for name in ("cat", "dog"):
        Path("photos", name).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (12, 9), 10 * number).save(Path("photos", name, f"{number}.png"))
    Path("own.yaml").write_text("data: {name: folder, root: photos, size: 16, resize: 16}\ndefense: none\n")


def test_regions_of_a_data_set_without_masks(runs, capsys, monkeypatch):

    photographs()
    write(config="own.yaml", changes=None, analyses="[regions]")
    monkeypatch.setattr(training_step, "train_run", lambda *_: pytest.fail("trained first"))
    assert "analyses: regions needs key regions, and none of the" in refused(capsys)
    assert not Path("runs").exists()


def test_too_few_classes_for_an_attack(runs, capsys, monkeypatch):

    photographs()
    write(config="own.yaml", changes=None, attack="{loss: dlr}")
    monkeypatch.setattr(training_step, "train_run", lambda *_: pytest.fail("trained first"))
    line = refused(capsys)
    assert "folder has 2 classes; pgd as it is set needs at least" in line
