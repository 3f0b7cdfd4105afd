"""Runs that extend a finished one: what they may change, what they take over, and that nothing is written before."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from atlpa.cli.eval import main as judge
from atlpa.cli.train import main as train
from atlpa.errors import UserError
from atlpa.experiment import load
from atlpa.runs import Run
from atlpa.runs.origin import extension
from tests.runs.test_selection import quietly, selecting
from tests.runs.test_train_run import reproducible, stop_after
from tests.runs.test_trust import forget, package

CONSTANT = [("training.schedule", "constant"), ("training.epsilon_schedule", "constant"),
            ("training.validate_every", 50)]  # fmt: skip
MORE = ["--set", "training.iterations=9"]


BARE = [*CONSTANT, ("training.select_by", None), ("final", True)]  # nothing is looked at while it trains


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two finished runs with an average: ``half`` with its best network too, ``bare`` without."""
    folder, average = tmp_path_factory.mktemp("trained"), ("training.averaging.warmup", 0.5)
    quietly(selecting(folder / "half", *CONSTANT, average))
    quietly(selecting(folder / "bare", *BARE, average))
    return folder


@pytest.fixture(autouse=True)
def here(trained, tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def half(trained):
    return Run.open(Path(shutil.copytree(trained / "half", "half")))


@pytest.fixture
def bare(trained):
    return Run.open(Path(shutil.copytree(trained / "bare", "bare")))


def described(run, iterations=9):
    """The experiment of an extension in a file, as its ``experiment.yaml`` holds it."""
    fields = extension(run, [("training.iterations", iterations)]).resolved()
    Path("more.yaml").write_text(json.dumps(fields))
    return "more.yaml"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], "half has 6 iterations; say how far to go on"),
        (["training.iterations=6"], "half has 6 iterations; say how far to go on"),
        (["training.iterations=9", "seed=1"], "cannot change seed (0 there, 1 now)"),
        (["training.iterations=9", "data.size=18"], "cannot change data.size (16 there, 18 now)"),
        (["training.iterations=9", "training.select_by.iterations=3"], "cannot change training.select_by.iterations"),
        (["training.iterations=9", "defense.noise.scale=0.1"], "cannot change defense.noise"),
    ],
)
def test_what_is_no_extension_is_refused_in_a_line(half, changes, words, capsys):
    settings = [argument for change in changes for argument in ("--set", change)]
    assert train(["--extend", "half", *settings, "--output", "more"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not Path("more").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--seed", "7"], "seed (0 there, 7 now)"),
        (["--defense", "none"], "whether there is a defense (pat there, none now)"),
        (["--set", "model.weights=half"], "model.weights ("),
        (["--set", "training.optimizer=adamw"], "training.optimizer ('sgd' there"),
        (["--set", "training.decay_biases=false"], "training.decay_biases (True there, False now)"),
        (["--set", "training.momentum=0"], "training.momentum (0.9 there, 0"),
    ],
)
def test_what_must_stay_is_held_to_whichever_way_an_extension_is_asked_for(half, change, words, capsys):
    for command in (["--extend", "half", *MORE], ["--config", described(half)]):
        assert train([*command, *change, "--output", "another"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"an extension of half cannot change {words}" in line
        assert "--set origin=null" in line
        assert "--set model.weights=half" in line
        assert not Path("another").exists()


def test_without_its_origin_the_experiment_of_an_extension_is_one_of_its_own(bare):
    changes = [("origin", None), ("seed", 7), ("training.iterations", 1), ("output", "another")]
    assert quietly(load(described(bare), changes)).experiment.seed == 7


def test_a_longer_run_alone_goes_on_and_nothing_else_is_its_origin(half, capsys):
    assert train(["--config", described(half), "--set", "training.iterations=6"]) == 2
    assert "half has 6 iterations; say how far to go on" in capsys.readouterr().err
    assert train(["--extend", "half", *MORE, "--set", "origin=null"]) == 2
    assert "the origin is half; leave --set origin out" in capsys.readouterr().err
    (half.records / "training.json").unlink()
    fields = json.loads(Path("more.yaml").read_text())
    with pytest.raises(UserError, match="half has not finished"):
        quietly(load("more.yaml", [("output", "another")]))
    assert fields["origin"]["run"] == "half"
    assert sorted(path.name for path in Path().iterdir()) == ["half", "more.yaml"]


@pytest.mark.parametrize("collapsed", [False, True])
def test_collapse_is_looked_for_anew(bare, collapsed):
    """The network that the origin's looks compared with is gone, whether it ended sound or was told to go on."""
    look = {"step": 6, "collapse": {"epsilon": 8 / 255, "trained": 1.0, "pgd": 1.0}, "kept": True}
    kept = reproducible(bare)
    with bare.log_path.open("a") as file:
        file.write(json.dumps(look | ({"collapsed": True} if collapsed else {})) + "\n")
    watch = "training.collapse={every: 1, images: 24, action: stop}"
    assert train(["--extend", "bare", *MORE, "--set", watch, "--output", "more"]) == 0
    more = Run.open(Path("more"))
    assert [line for line in reproducible(more) if line["step"] <= 6] == kept
    assert {line["step"] for line in reproducible(more) if "collapse" in line} == {7, 8, 9}
    assert more.training.collapsed is None


def test_what_a_collapsed_run_left_is_said(bare, capsys):
    replace(bare.training, collapsed=5).save(bare.training_record)
    assert train(["--extend", "bare", *MORE, "--output", "more"]) == 0
    assert "note: bare: training had collapsed by step 5\n" in capsys.readouterr().out
    shutil.copy("bare/last.pt", "bare/sound.pt")
    assert judge(["--run", "bare", "--eps", "0.1", "--iters", "1", "--limit", "8"]) == 0
    assert "note: bare: training had collapsed by step 5; bare/sound.pt is the network of before" in "".join(
        capsys.readouterr()
    )


@pytest.mark.parametrize("name", ["best.pt", "log.jsonl", "split.json"])
def test_what_is_taken_over_is_read_before_a_folder_is_made(half, name, capsys):
    (half.folder / name).write_bytes(b"{\n")
    assert train(["--extend", "half", *MORE]) == 2
    assert f"half/{name}" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["half"]


def test_the_average_goes_on_too(bare):
    """Its warm-up, half of six steps, is a quarter of twelve; in one stretch or in two, on from where it was."""
    whole = quietly(selecting("whole", *BARE, ("training.iterations", 12), ("training.averaging.warmup", 0.25)))
    assert train(["--extend", "bare", "--set", "training.iterations=9", "--output", "nine"]) == 0
    for origin in ("bare", "nine"):
        assert train(["--extend", origin, "--set", "training.iterations=12", "--output", f"{origin}-on"]) == 0
        assert Run.open(Path(f"{origin}-on")).training.network.weights == whole.training.network.weights
    assert Run.open(Path("nine")).experiment.origin.averaged == 3


def test_an_average_of_the_extension_alone_begins_there_and_survives_an_interruption(monkeypatch, capsys):
    quietly(selecting("plain", *BARE, ("training.averaging", None)))
    change = "training.averaging={decay: 0.5, warmup: 0.5}"
    command = ["--extend", "plain", "--set", "training.iterations=12", "--set", change, "--output"]
    assert train([*command, "straight"]) == 0
    assert "going on from plain after step 6, with its optimizer\n" in capsys.readouterr().out
    with monkeypatch.context() as patched:
        stop_after(4, patched)  # one step after the warm-up
        assert train([*command, "stopped"]) == 128 + 15
    assert train([*command, "stopped"]) == 0
    straight, stopped = (Run.open(Path(name)) for name in ("straight", "stopped"))
    assert stopped.training.network.weights == straight.training.network.weights
    assert reproducible(stopped) == reproducible(straight)
    assert straight.experiment.averages_from == 9
    assert straight.experiment.steps_averaged == 3


def test_code_by_its_path_is_run_where_the_run_is_trusted(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(tmp_path))
    forget(monkeypatch)
    package("thirds", "1.2")
    quietly(selecting("theirs", *BARE, ("defense.terms", {"thirds.losses:Halved": {}})))
    command = ["--extend", "theirs", *MORE]
    forget(monkeypatch)
    assert train(command) == 2
    assert "add --trust-code" in capsys.readouterr().err
    assert train([*command, "--trust-code"]) == 0
    assert Run.open(Path("theirs-to9")).finished
    assert train(["--config", "digits", "--trust-code"]) == 2
    assert "--trust-code is for the RUN of --extend" in capsys.readouterr().err


def test_it_lies_beside_its_origin_and_lists_what_that_left_out(bare):
    split = json.loads(bare.split_path.read_text())
    bare.split_path.write_text(json.dumps({**split, "skipped": {"broken.png": "cut short"}}))
    Path("elsewhere").mkdir()
    bare.folder.rename("elsewhere/bare")
    assert train(["--extend", "elsewhere/bare", *MORE]) == 0
    more = Path("elsewhere/bare-to9")
    assert json.loads((more / "split.json").read_text()) == {**split, "skipped": {"broken.png": "cut short"}}


def test_beside_a_folder_without_a_name_of_its_own(bare, monkeypatch):
    monkeypatch.chdir("bare")
    found = extension(Run.open(Path()), [("training.iterations", 9)])
    assert found.folder == Path.cwd().parent / "bare-to9"
