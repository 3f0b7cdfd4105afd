"""What a row changes is held against its sources before the first training, by the command itself."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from atlpa.cli.study import main
from atlpa.records import Evaluation
from atlpa.studies import execute, load_study, plan, training_step

SELECT = "training.select_by: {name: fgsm}, training.validate_every: 1"


def write(row="", **changes):
    fields = {
        "config": "digits",
        "changes": "{training.iterations: 1, training.batch_size: 4, data.size: 16, data.resize: 20}",
        "epsilons": "[0.25]",
        "budgets": "[1]",
        "limit": "4",
        "defenses": f"[none, {{preset: rat, name: other, changes: {{{row}}}}}]",
        **changes,
    }
    Path("mine.yaml").write_text("".join(f"{name}: {value}\n" for name, value in fields.items() if value is not None))


def photographs(folder, shade=0):
    for name in ("cat", "dog"):
        Path(folder, name).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (12, 9), 10 * number + shade).save(Path(folder, name, f"{number}.png"))


def own(row):
    """The study on two classes of photographs."""
    photographs("photos")
    Path("own.yaml").write_text(
        "data: {name: folder, root: photos, size: 16, resize: 16}\nmodel: {architecture: resnet18, weights: none}\n"
        "defense: none\ntraining: {iterations: 1, batch_size: 4}\n"
    )
    write(row, config="own.yaml", changes=None)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()


def refused(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(training_step, "train_run", lambda *_: pytest.fail("trained first"))
    assert main(["mine.yaml", *arguments]) == 2
    assert not Path("runs").exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line


UNFIT = {
    "judged on what sources learn from": ("final: false", "the source is trained on the validation part"),
    "another size": ("data.size: 12", "data.size (16 there, 12 now)"),
    "another data set": ("data.name: cifar10, data.root: nowhere", "data.name ('digits' there, 'cifar10' now)"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_row_that_its_sources_do_not_fit(kind, monkeypatch, capsys):
    row, words = UNFIT[kind]
    write(row)
    for arguments in (["--plan"], []):
        line = refused(monkeypatch, capsys, *arguments)
        assert "defenses: images of runs/mine/none-resnet18-seed0-final cannot be shown to runs/mine/other-" in line
        assert words in line


def test_what_transfers_to_nobody_need_not_fit(capsys):
    """Without sources a row may be judged on a part of its own; but not drawn with rows of another part."""
    write("final: false", attack="{name: square}")
    assert main(["mine.yaml", "--plan"]) == 0
    capsys.readouterr()


def test_analyses_look_at_the_same_images(monkeypatch, capsys):
    """With sources of the training part alone, both parts can be attacked; but one figure has one of them."""
    write(SELECT, final="false")
    assert main(["mine.yaml", "--plan"]) == 0
    write(SELECT, final="false", analyses="[embedding]")
    line = refused(monkeypatch, capsys)
    assert "analyses: runs/mine/none-resnet18-seed0 and runs/mine/other-resnet18-seed0 share no images" in line
    assert "judged part ('validation' there, 'test' now)" in line


def test_a_row_that_selects_is_attacked_from_a_final_source():
    own(f"final: false, {SELECT}")
    steps = plan(load_study("mine.yaml"))
    execute([*steps.trainings, *(step for step in steps.attacks if not step.white_box)], lambda _: None)
    (record,) = [Evaluation.load(path) for path in Path("runs/mine").glob("other-*/records/*gray-*.json")]
    assert (record.data.part, record.source.run) == ("test", "runs/mine/none-resnet18-seed0-final")


MISSING = {
    "the row's data": ("data.root: nowhere", "nowhere"),
    "other images in the row's place": ("data.root: fewer", "its data set holds other images"),
    "extra images": ("data.extra: {root: nowhere, share: 0.5}", "data.extra.root"),
    "extra images of no class": ("data.extra: {root: empty, share: 0.5}", "empty holds no directory"),
    "classes for what selects": (
        "final: false, training.select_by: {name: apgd, loss: dlr}",
        "training.select_by: folder has 2 classes; apgd as it is set needs at least 3",
    ),
}


@pytest.mark.parametrize("kind", MISSING)
def test_what_a_row_lacks_is_found_before_the_first_training(kind, monkeypatch, capsys):
    photographs("fewer")
    Path("fewer/cat/0.png").unlink()
    row, words = MISSING[kind]
    own(row)
    assert words in refused(monkeypatch, capsys)


def test_a_network_that_was_copied_from_another_study_is_trained(capsys):
    """What a study is called says where its runs lie, and nothing else."""
    write(name="first")
    trained, other = Path("runs/first/none-resnet18-seed0-final"), Path("runs/second/none-resnet18-seed0-final")
    (first,) = [step for step in plan(load_study("mine.yaml")).trainings if step.experiment.folder == trained]
    execute([first], lambda _: None)
    shutil.copytree(trained, other)
    write(name="second")
    copied, there = plan(load_study("mine.yaml")).trainings
    assert (copied.experiment.folder, copied.state(), there.state()) == (other, "done", "to do")
