"""What the pages tell a user to type is what the commands take, and their Python and YAML does what they say."""

import contextlib
import importlib
import shutil
from pathlib import Path

import pytest
import torch

from atlpa.experiment import load
from atlpa.models import ModelSpec
from atlpa.runs import Run
from atlpa.studies import load_study
from tests.website.blocks import DOCS, PAGES, blocks, commands

HOWTO = DOCS / "howto"
OUTSIDE = Path(__file__).parents[1] / "exercises"
SMALL = ["training.iterations=1", "training.batch_size=4", "data.resize=20", "data.size=16"]
SHORT = [word for field in SMALL for word in ("--set", field)]


def named(path):
    return path.relative_to(DOCS.parent).as_posix()


def main_of(command):
    return importlib.import_module(f"atlpa.cli.{command.removeprefix('atlpa-')}")


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=named)
def test_every_command_on_a_page_is_one(page, monkeypatch):
    """Its options are read as they are by the real parser; what it would do is left out."""
    for command, *given in commands(page):
        module, done = main_of(command), []
        monkeypatch.setattr(module, "run_command", lambda name, _work, done=done, **_: done.append(name) or 0)
        words = given[: given.index("…")] if "…" in given else given  # "RUN RUN …" stands for as many as one likes
        shows = {"--help", "--schema", "--list-defenses"} & set(words)
        with contextlib.suppress(SystemExit) if shows else contextlib.nullcontext():
            assert module.main(words) == 0, given
            assert done == [command]


def test_a_wrong_option_would_be_found(monkeypatch, capsys):
    monkeypatch.setattr(main_of("atlpa-train"), "run_command", lambda *_, **__: 0)
    with pytest.raises(SystemExit):
        main_of("atlpa-train").main(["--config", "digits", "--iteratons", "3"])
    assert "--iteratons" in capsys.readouterr().err


@pytest.fixture
def outside(monkeypatch, tmp_path):
    """The current folder holds the outsider's package, as the pages have it."""
    shutil.copytree(OUTSIDE / "outside", tmp_path / "outside")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(OUTSIDE))


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("page", ["own-loss-term", "own-network"])
def test_trainings_with_parts_of_ones_own(page):
    """Each of the page's trainings on digits, cut to one step of four small images."""
    trainings = [words for command, *words in commands(HOWTO / f"{page}.md") if command == "atlpa-train"]
    assert trainings
    for number, words in enumerate(trainings):
        assert main_of("atlpa-train").main([*words, *SHORT, "--output", f"run{number}"]) == 0
        assert Run.open(Path(f"run{number}"), trust_code=True).finished


@pytest.mark.usefixtures("outside")
def test_an_attack_of_ones_own_judges_and_trains(tiny_run, capsys):
    run = tiny_run()
    shutil.copytree(run.folder, Path("runs") / run.folder.name)
    for command, *words in commands(HOWTO / "own-attack.md"):
        if command == "atlpa-eval":
            assert main_of(command).main([*words, "--limit", "4", "--threat", "white"]) == 0
            assert "outside.attack:RandomCorners" in capsys.readouterr().out
        else:
            assert main_of(command).main([*words, *SHORT, "--output", "run"]) == 0
    assert Run.open(Path("run"), trust_code=True).finished


@pytest.fixture
def names():
    """What the pages take for granted: a network, images, labels."""
    draws = torch.Generator().manual_seed(0)
    model, other = (ModelSpec(architecture="resnet18", weights="none").build(10, seed=seed) for seed in (0, 1))
    images, labels = torch.rand(8, 3, 32, 32, generator=draws), torch.arange(8)
    found = {"torch": torch, "model": model, "undefended": other, "images": images, "labels": labels}
    halves = torch.randn(2, 8, 10, generator=draws)
    maps = [{"conv5_x": torch.rand(8, 4, 2, 2, generator=draws)} for _ in range(2)]
    found |= {"logits_of_clean": halves[0], "logits_of_adversarial": halves[1]}
    return found | {"stages_of_clean": maps[0], "stages_of_adversarial": maps[1]}


def test_the_page_on_research_code_runs(names, capsys, tiny_run):
    passes, of_ones_own, judged, _, opened = blocks(HOWTO / "own-code.md", "python")
    exec(passes, names)
    assert names["terms"].keys() == {"cross_entropy", "tolerant_logit", "attention_map"}
    assert all(parameter.grad is not None for parameter in names["model"].parameters())
    exec(of_ones_own, names)
    assert all(term.ndim == 0 and term > 0 for term in names["terms"].values())
    exec(judged, names)
    assert names["result"].robust.shape == (1, 1, 8)
    assert capsys.readouterr().out.startswith("robust ")
    run = tiny_run()
    exec(opened.replace("runs/digits/pat-resnet18-seed0-final", run.folder.as_posix()), names)
    assert names["network"](torch.rand(2, 3, run.experiment.data.size, run.experiment.data.size)).shape == (2, 10)


def test_every_python_block_of_a_page_compiles():
    found = [(page, text) for page in PAGES for text in blocks(page, "python")]
    assert len(found) > 10
    for page, text in found:
        compile(text, str(page), "exec")


STUDY, *_ = blocks(HOWTO / "study.md", "yaml")
EXPERIMENTS = [
    (page, text)
    for page in ("own-pictures", "own-data-set")
    for text in blocks(HOWTO / f"{page}.md", "yaml")
    if "defense" in text
]


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(("page", "text"), EXPERIMENTS)
def test_an_experiment_on_a_page_is_one(page, text):
    Path("mine.yaml").write_text(text)
    assert load("mine.yaml").name == "mine"


def test_the_study_on_the_page_is_one(tmp_path):
    (tmp_path / "mine.yaml").write_text(STUDY)
    study = load_study(str(tmp_path / "mine.yaml"))
    made = [study.experiment(row, 0, []) for row in study.defenses]
    assert [one.defense.name for one in made] == ["none", "pat", "pat_strong"]
    assert [one.training.iterations for one in made] == [120, 120, 120]
