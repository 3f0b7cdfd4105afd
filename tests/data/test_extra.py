"""Extra images: for training alone, named in the split, part of what a run knows, and no leak."""

import json
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from atlpa.cli.data import main as data
from atlpa.cli.eval import main as judge
from atlpa.cli.train import main as train
from atlpa.component import dump
from atlpa.data import Digits, ExtraImages, Folder
from atlpa.errors import Interrupted, UserError
from atlpa.experiment import load
from atlpa.records import Evaluation
from atlpa.runs import Run, train_run
from atlpa.training import loop


def picture(number, size=(20, 12)):
    return Image.fromarray(np.random.default_rng(number).integers(0, 255, (*size[::-1], 3), dtype=np.uint8))


@pytest.fixture
def photographs(tmp_path):
    """Three classes of ten photographs each."""
    for label, name in enumerate(("cat", "dog", "owl")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            picture(10 * label + number).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def generated(tmp_path):
    """Further images of two of the classes, some of them deeper inside."""
    for label, name in enumerate(("dog", "cat")):
        (tmp_path / "generated" / name / "more").mkdir(parents=True)
        for number in range(4):
            picture(1000 + 10 * label + number).save(tmp_path / "generated" / name / f"{number}.png")
        picture(1009 + 10 * label).save(tmp_path / "generated" / name / "more" / "0.jpg")
    return tmp_path / "generated"


def settings(photographs, generated, share=0.5):
    return [
        ("data", {"name": "folder", "root": str(photographs), "resize": 20, "size": 16}),
        *([("data.extra", {"root": str(generated), "share": share})] if generated else []),
        ("model.architecture", "shufflenet_v2_x0_5"),
        ("training.iterations", 3),
        ("training.batch_size", 6),
        ("training.log_every", 1),
        ("training.attack.iterations", 1),
        ("defense", "pat"),
    ]


def arguments(photographs, generated, folder, *more):
    """Of the command."""
    changes = [f"--set={name}={json.dumps(value)}" for name, value in settings(photographs, generated)[1:-1]]
    root = f"--set=data={json.dumps(settings(photographs, None)[0][1])}"
    return ["--config", "digits", root, *changes, "--defense", "pat", "--output", str(folder), *more]


def test_images_are_found_by_class_and_named(photographs, generated):
    dataset = Folder(root=str(photographs), extra=ExtraImages(root=str(generated), share=0.5))
    index = dataset.training_index()
    assert index.parts == dataset.index().parts == Folder(root=str(photographs)).index().parts
    found = [(item.name, index.classes[item.label]) for item in index.extra]
    assert found == [(f"extra/{name}/{file}", name) for name in ("cat", "dog")
                     for file in ("0.png", "1.png", "2.png", "3.png", "more/0.jpg")]  # fmt: skip


def test_a_relative_folder_is_found_below_the_data_root(photographs, generated, monkeypatch):
    monkeypatch.setenv("ATLPA_DATA_ROOT", str(generated.parent))
    assert len(ExtraImages(root="generated", share=0.5).items(("cat", "dog"))) == 10


def test_digests(photographs, generated):
    """What is judged is told apart as ever; what is trained on, by the extra images too."""
    plain = Folder(root=str(photographs)).index()
    dataset = Folder(root=str(photographs), extra=ExtraImages(root=str(generated), share=0.5))
    index = dataset.training_index()
    assert plain.training_digest == plain.digest == index.digest
    assert index.training_digest != index.digest
    (generated / "cat" / "0.png").rename(generated / "cat" / "new.png")
    assert dataset.training_index().training_digest != index.training_digest
    assert dataset.training_index().digest == index.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda place: (place / "dogs").mkdir(), r"data\.extra\.root .*: unknown class 'dogs'; did you mean 'dog'"),
        (lambda place: (place / "owl").mkdir(), r"class 'owl' has no images"),
        (lambda place: place.rename(place.parent / "gone"), r"no folder .*generated.*; data\.extra\.root must hold"),
        (lambda place: (place / "owl").symlink_to(place / "cat"), "the classes 'cat' and 'owl' are the same folder"),
    ],
)
def test_folders_that_do_not_fit(photographs, generated, tmp_path, capsys, change, message):
    change(generated)
    with pytest.raises(UserError, match=message):
        Folder(root=str(photographs), extra=ExtraImages(root=str(generated), share=0.5)).training_index()
    assert train(arguments(photographs, generated, tmp_path / "run")) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match=r"holds no directory; data\.extra\.root must hold one for each class"):
        ExtraImages(root=str(tmp_path), share=0.5).items(("cat",))


@pytest.mark.parametrize(
    ("share", "batch", "count"), [(0.5, 6, 3), (0.3, 6, 2), (0.99, 100, 99), (1 / 6, 6, 1), (0.7, 512, 358)]
)
def test_shares_are_rounded(share, batch, count):
    assert ExtraImages(root="x", share=share).of_batch(batch) == count


@pytest.mark.parametrize("share", [0.01, 0.95])
def test_a_share_of_none_or_all_of_a_batch(photographs, generated, share):
    with pytest.raises(UserError, match=r"share 0\.\d+ of a batch of 6 comes to [06] images; .*give 0\.167 to 0\.833"):
        load("digits", settings(photographs, generated, share))


@pytest.mark.parametrize("share", [0, 1, -0.5, "many"])
def test_a_share_that_is_none(share):
    with pytest.raises(UserError, match=r"data\.extra\.share: "):
        load("digits", [("data.extra", {"root": "x", "share": share})])


def test_a_training_names_them_and_is_judged_without_them(photographs, generated, tmp_path, capsys):
    """They are in the split, in no judged part, and judging needs nothing but their names."""
    run = tmp_path / "run"
    assert train(arguments(photographs, generated, run, "--final")) == 0
    assert "24 training images and 10 extra ones of 3 classes" in capsys.readouterr().out
    parts = json.loads((run / "split.json").read_text())["parts"]
    assert {name: len(part) for name, part in parts.items()} == {"train": 18, "validation": 6, "test": 6, "extra": 10}
    assert parts["extra"]["extra/dog/more/0.jpg"] == "dog"
    generated.rename(tmp_path / "elsewhere")
    assert judge(["--run", str(run), "--iters", "1", "--eps", "8/255"]) == 0
    (record,) = [Evaluation.load(path) for path in (run / "records").glob("white*.json")]
    assert (record.data.count, record.data.available, record.data.part) == (6, 6, "test")
    assert record.data.digest == Folder(root=str(photographs)).index().digest
    assert Run.open(run).training.data != record.data.digest
    split = json.loads((run / "split.json").read_text())
    split["parts"]["extra"]["extra/dog/9.png"] = split["parts"]["extra"].pop("extra/dog/0.png")
    (run / "split.json").write_text(json.dumps(split))
    capsys.readouterr()
    assert judge(["--run", str(run), "--iters", "2", "--eps", "8/255"]) == 2
    assert "was trained on other data" in capsys.readouterr().err


def interrupted(experiment, step, monkeypatch):
    """Train until a signal comes in some step."""
    real, taken = loop.training_step, []

    def training_step(*given, **options):
        taken.append(None)
        if len(taken) == step:
            signal.raise_signal(signal.SIGTERM)
        return real(*given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "training_step", training_step)
        with pytest.raises(Interrupted):
            train_run(experiment, say=lambda _: None)


ALL = [
    ("data.augmentation", {"resized_crop": {"scale": [0.3, 1]}, "trivial_augment": True, "mix": {"method": "cutmix"}}),
    ("training.attack.start", "uniform"),
]


def test_resumed_equals_uninterrupted_bit_for_bit(photographs, generated, tmp_path, monkeypatch):
    made = [load("digits", [*settings(photographs, generated), *ALL, ("output", str(tmp_path / name))])
            for name in ("straight", "resumed")]  # fmt: skip
    straight = train_run(made[0], say=lambda _: None)
    interrupted(made[1], 2, monkeypatch)
    generated.rename(tmp_path / "elsewhere")  # where they lie may differ
    moved = settings(photographs, tmp_path / "elsewhere")
    resumed = train_run(load("digits", [*moved, *ALL, ("output", str(tmp_path / "resumed"))]), say=lambda _: None)
    assert resumed.network.weights == straight.network.weights
    weights = [run.read_checkpoint().model for run in (straight, resumed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda place: (place / "cat" / "1.png").unlink(), "was trained on other data"),
        (lambda place: place.rename(place.parent / "gone"), "no folder .*generated"),
    ],
)
def test_resuming_needs_them(photographs, generated, tmp_path, monkeypatch, change, message):
    experiment = load("digits", [*settings(photographs, generated), ("output", str(tmp_path / "run"))])
    interrupted(experiment, 2, monkeypatch)
    change(generated)
    with pytest.raises(UserError, match=message):
        train_run(experiment, say=lambda _: None)


def test_another_share_is_another_experiment(photographs, generated, tmp_path, monkeypatch):
    experiment = load("digits", [*settings(photographs, generated), ("output", str(tmp_path / "run"))])
    interrupted(experiment, 1, monkeypatch)
    with pytest.raises(UserError, match=r"another experiment: data\.extra\.share \(0\.5 there, 0\.3 now\)"):
        train_run(load("digits", [*settings(photographs, generated, 0.3), ("output", str(tmp_path / "run"))]))


def test_a_judged_image_among_them_is_refused(photographs, generated, tmp_path, capsys):
    """A copy of a training image is none of anybody's business; one of a judged image is."""
    index = Folder(root=str(photographs)).index()
    trained, judged = index.items("train")[0], index.items("test")[0]
    copy = generated / index.classes[trained.label]
    copy.mkdir(exist_ok=True)
    (copy / "copy.png").write_bytes(trained.content.read_bytes())
    assert train(arguments(photographs, generated, tmp_path / "first")) == 0
    leak = generated / index.classes[judged.label]
    leak.mkdir(exist_ok=True)
    (leak / "leak.png").write_bytes(judged.content.read_bytes())
    capsys.readouterr()
    assert train(arguments(photographs, generated, tmp_path / "run")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"leak.png is the same picture as {judged.name}, which is not to be trained on; remove it" in line
    assert not (tmp_path / "run").exists()


def test_validation_images_may_be_copied_where_they_are_trained_on(photographs, generated, tmp_path):
    index = Folder(root=str(photographs)).index()
    watched = index.items("validation")[0]
    place = generated / index.classes[watched.label]
    place.mkdir(exist_ok=True)
    (place / "copy.png").write_bytes(watched.content.read_bytes())
    assert train(arguments(photographs, generated, tmp_path / "run")) == 2
    assert train(arguments(photographs, generated, tmp_path / "final", "--final")) == 0


def test_a_leak_from_a_data_set_without_files(tmp_path):
    """Digits have no files: pictures are compared."""
    index = Digits().index()
    leak = index.items("test")[5]
    (tmp_path / "extra" / "7").mkdir(parents=True)
    leak.open().save(tmp_path / "extra" / "7" / "new.png")
    experiment = load("digits", [("data.extra", {"root": str(tmp_path / "extra"), "share": 0.5}),
                                 ("output", str(tmp_path / "run"))])  # fmt: skip
    with pytest.raises(UserError, match=f"new.png is the same picture as {leak.name}"):
        train_run(experiment, say=lambda _: None)


def test_unreadable_ones_are_left_out_and_listed(photographs, generated, tmp_path):
    (generated / "cat" / "bad.png").write_bytes(b"no image")
    assert train(arguments(photographs, generated, tmp_path / "run", "--skip-unreadable")) == 0
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert list(split["skipped"]) == ["extra/cat/bad.png"]
    assert len(split["parts"]["extra"]) == 10


def test_the_check_knows_them(photographs, generated, capsys):
    index = Folder(root=str(photographs)).index()
    judged = index.items("test")[0]
    judged.open().save(generated / "cat" / "leak.bmp")  # the same pixels in another file
    command = ["check", str(photographs), "--set", f"extra.root={generated}", "--set", "extra.share=0.5"]
    assert data(command) == 1
    text = capsys.readouterr().out
    assert "| class | train | validation | test | extra | all | with key region |" in " ".join(text.split())
    (problem,) = [line for line in text.splitlines() if line.startswith("problem: ")]
    assert "the same picture 2 times, across extra and test" in problem


def test_a_section_reads_back(photographs, generated):
    experiment = load("digits", settings(photographs, generated))
    assert dump(experiment.data)["extra"] == {"root": str(generated), "share": 0.5}
    assert load("digits").data.extra is None
