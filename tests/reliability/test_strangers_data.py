"""What strangers put among images and annotations: a line that names it, or the data set as meant; never a wait."""

import io
import json
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from scipy.io import loadmat, savemat

from atlpa.cli.data import main
from atlpa.cli.train import main as train
from atlpa.data import BMW10, Flowers17, Folder, Index, Item, StanfordCars, load_images
from atlpa.data.mat_file import parse_mat
from atlpa.data.names import readable
from atlpa.errors import UserError

QUICK = ["--set", "training.iterations=2", "--set", "training.batch_size=4", "--set", "data.size=16",
         "--set", "data.resize=16", "--set", "model.architecture=resnet18", "--set", "model.weights=none"]  # fmt: skip


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (12, 9), 10 * number + (name == "cat")).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def items(root, **fields):
    index = Folder(root=str(root), **fields).index()
    return {item.name: item for part in index.parts.values() for item in part}


def checked(capsys, *arguments):
    """Status, what was printed, and the one line that may have been said of it."""
    status = main(["check", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == (status == 2)
    assert all(readable(line) == line for line in (out + err).split("\n"))
    return status, out, err


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *chunks):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


def text_bomb(path):
    """Sixty-four texts of a megabyte each, which take a few kilobytes."""
    about = PngImagePlugin.PngInfo()
    for number in range(70):
        about.add_text(f"t{number}", "x" * 1_000_000, zip=True)
    Image.new("RGB", (12, 9)).save(path, pnginfo=about)


def bound(path):
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))


BAD_PICTURES = {
    "pipe": (os.mkfifo, "it is a pipe"),
    "socket": (bound, "it is a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "link to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "link to nothing": (lambda path: path.symlink_to("nowhere.png"), "No such file"),
    "two gigabytes of nothing": (lambda path: (path.touch(), os.truncate(path, 2**31)), "2147483648 bytes"),
    "a thousand million pixels": (
        lambda path: path.write_bytes(png(40_000, 25_000, chunk(b"IDAT", b""))),
        "000 pixels",
    ),
    "a negative size": (lambda path: path.write_bytes(png(2**31, 9, chunk(b"IDAT", b""))), "no readable image"),
    "texts that unfold": (text_bomb, "no readable image"),
    "a profile that unfolds": (
        lambda path: path.write_bytes(png(12, 9, chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(5_000_000))))),
        "no readable image",
    ),
    "PostScript": (
        lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "of no format that is read",
    ),
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_what_is_no_picture_is_named_or_left_out(photographs, capsys, kind):
    make, words = BAD_PICTURES[kind]
    (photographs / "cat" / "3.png").unlink()
    make(photographs / "cat" / "3.png")
    found = items(photographs)
    with pytest.raises(UserError, match=words) as refused:
        found["cat/3.png"].open()
    assert "cat/3.png is no readable image" in str(refused.value)
    status, out, _ = checked(capsys, photographs)
    assert status == 1
    (problem,) = [line for line in out.splitlines() if line.startswith("problem: ")]
    assert "cat/3.png is no readable image" in problem
    Path("mine.yaml").write_text(f"data: {{name: folder, root: {photographs}}}\ndefense: none\n")
    assert train(["--config", "mine.yaml", *QUICK, "--output", "run", "--skip-unreadable"]) == 0
    assert words in json.loads(Path("run/split.json").read_text())["skipped"]["cat/3.png"]


@pytest.mark.parametrize("ending", ["gif", "png", "tiff"])
def test_of_several_pictures_the_first_is_taken(photographs, ending):
    first, *rest = [Image.new("L", (12, 9), 6 * number).convert("RGB") for number in range(40)]
    first.save(photographs / "cat" / f"many.{ending}", save_all=True, append_images=rest)
    assert items(photographs)[f"cat/many.{ending}"].open().tobytes() == first.tobytes()


@pytest.mark.parametrize("kind", ["pipe", "device", "link to itself", "a thousand million pixels", "PostScript"])
def test_masks_are_opened_with_the_same_care(photographs, tmp_path, capsys, kind):
    make, _ = BAD_PICTURES[kind]
    for name in ("cat", "dog"):
        (tmp_path / "masks" / name).mkdir(parents=True)
    Image.new("L", (12, 9), 255).save(tmp_path / "masks" / "dog" / "1.png")
    make(tmp_path / "masks" / "cat" / "3.png")
    status, out, _ = checked(capsys, photographs, "--set", f"masks={tmp_path / 'masks'}")
    assert status == 1
    (problem,) = [line for line in out.splitlines() if line.startswith("problem: ")]
    assert "cat/3.png is no readable image" in problem


NAMES = {
    "not UTF-8": (b"k\xe4tzchen.png", "cat/k\\udce4tzchen.png"),
    "a line's end": (b"two\nlines.png", "cat/two\\nlines.png"),
    "a terminal's escape": (b"\x1b[2Jred.png", "cat/\\x1b[2Jred.png"),
    "one of eight bits": ("\x9b2J.png".encode(), "cat/\\x9b2J.png"),
    "a paragraph's end": ("a\u2029b.png".encode(), "cat/a\\u2029b.png"),
    "signs that are fine": ("Kätzchen \u202f猫 'x'.png".encode(), "cat/Kätzchen \u202f猫 'x'.png"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_any_name_is_carried_through(photographs, kind, capsys):
    """The picture is the user's, whatever its name: it is trained on, written down and read back."""
    raw, shown = NAMES[kind]
    os.rename(photographs / "cat" / "3.png", os.fsencode(photographs / "cat") + b"/" + raw)
    found = items(photographs)
    assert found[shown].open().getpixel((0, 0)) == (31, 31, 31)
    assert found[shown].fingerprint()
    Path("mine.yaml").write_text(f"data: {{name: folder, root: {photographs}}}\ndefense: none\n")
    assert train(["--config", "mine.yaml", *QUICK, "--output", "run"]) == 0
    parts = json.loads(Path("run/split.json").read_text(encoding="utf-8"))["parts"]
    assert shown in {name for part in parts.values() for name in part}
    assert train(["--config", "mine.yaml", *QUICK, "--output", "run"]) == 0
    capsys.readouterr()
    assert checked(capsys, photographs)[0] == 0


@pytest.mark.parametrize("kind", NAMES)
def test_any_class_name_is_carried_through(photographs, kind, capsys):
    raw, shown = NAMES[kind]
    os.rename(photographs / "cat", os.fsencode(photographs) + b"/" + raw)
    index = Folder(root=str(photographs)).index()
    assert sorted(index.classes) == sorted([shown.removeprefix("cat/"), "dog"])
    assert checked(capsys, photographs)[0] == 0


LINKS = {
    "to the folder itself": ("bird", ".", "images are here already"),
    "to the folder above": ("bird", "..", "images are here already"),
    "to the top of the disk": ("bird", "/", "images are here already"),
    "to another class": ("bird", "cat", "the classes 'bird' and 'cat' are the same folder"),
    "from a class to itself": ("cat/inner", ".", "images are here already"),
    "from a class above": ("cat/inner", "../..", "images are here already"),
    "from a class to what it holds": ("cat/again", "deep", "images are here already"),
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_in_a_circle_is_refused(photographs, capsys, kind):
    name, target, words = LINKS[kind]
    (photographs / "cat" / "deep").mkdir()
    Image.new("L", (12, 9), 99).save(photographs / "cat" / "deep" / "8.png")
    (photographs / name).symlink_to(target)
    status, _, err = checked(capsys, photographs)
    assert status == 2
    assert words in err


def test_links_to_elsewhere_are_as_good_as_what_they_lead_to(photographs, tmp_path):
    (photographs / "cat").rename(tmp_path / "elsewhere")
    (tmp_path / "more").mkdir()
    Image.new("L", (12, 9), 99).save(tmp_path / "more" / "8.png")
    (photographs / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "more").symlink_to(tmp_path / "more")
    (tmp_path / "elsewhere" / "9.png").symlink_to(tmp_path / "more" / "8.png")
    assert {name for name in items(photographs) if name.startswith("cat")} == {
        *(f"cat/{number}.png" for number in range(10) if number != 8),
        "cat/more/8.png",
    }


@pytest.mark.parametrize("what", ["vanished", "changed"])
def test_a_file_that_does_not_hold_still(photographs, monkeypatch, what):
    """Between the hash that names the cache and the decoding."""
    listed = list(items(photographs).values())
    victim, kept = listed[2].content, Item.open

    def opened(item):
        if item.content == victim and what == "vanished":
            victim.unlink(missing_ok=True)
        elif item.content == victim:
            Image.new("L", (12, 9), 200).save(victim)
        return kept(item)

    monkeypatch.setattr(Item, "open", opened)
    with pytest.raises(UserError, match=f"{victim}.*(No such file|has changed while it was read)"):
        load_images(listed, 16, torch.device("cpu"))
    assert not list(Path(os.environ["ATLPA_CACHE"]).glob("*.half"))
    monkeypatch.undo()
    if what == "changed":
        assert (load_images(listed, 16, torch.device("cpu"))[torch.tensor([2])] == 200).all()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        pytest.param({"train": [("a", 0), ("a", 1)]}, "'a' is in the train part twice", id="twice"),
        pytest.param(
            {"train": [("a", 0)], "test": [("a", 0)]}, "'a' is in the train and in the test part", id="two parts"
        ),
        pytest.param({"train": [("a", 2)]}, "'a' has class 2 of 2", id="no such class"),
        pytest.param({"train": [("a", -1)]}, "'a' has class -1 of 2", id="negative class"),
        pytest.param({"train": [("a\n", 0)]}, r"cannot be written down; name it 'a\\\\n'", id="a line's end"),
    ],
)
def test_no_data_set_of_any_package_is_a_contradiction(parts, words):
    held = {part: [Item(*about, np.zeros((8, 8), np.uint8)) for about in found] for part, found in parts.items()}
    with pytest.raises(UserError, match=words):
        Index(("x", "y"), {"train": [], "validation": [], "test": [], **held})


FIELDS = ["fname", "class", "bbox_x1", "bbox_x2", "bbox_y1", "bbox_y2", "height", "width"]


def cars(base, change=lambda row: row, **content):
    """A release of three classes in ``bmw10_release``, its last annotation changed."""
    rows = []
    for label in (1, 2, 3):
        (base / "bmw10_ims" / str(label)).mkdir(parents=True, exist_ok=True)
        for number in range(5):
            Image.new("RGB", (40, 20)).save(base / "bmw10_ims" / str(label) / f"{number}.jpg")
            rows.append((f"{label}/{number}.jpg", label, 11, 30, 5, 10, 20, 40))
    annotations = np.zeros((1, len(rows)), dtype=[(name, object) for name in FIELDS])
    for place, row in enumerate([*rows[:-1], change(rows[-1])]):
        annotations[0, place] = row
    numbers = {"train_indices": np.r_[1:5, 6:10, 11:15], "test_indices": np.array([5, 10, 15])}
    savemat(base / "bmw10_annos.mat", {"annos": annotations, **numbers, **content})


def with_field(name, value):
    return lambda row: tuple(value if field == name else old for field, old in zip(FIELDS, row, strict=True))


WRONG_ANNOTATIONS = {
    "a number for a name": (with_field("fname", 7), "fname 7|fname array"),
    "a list for a name": (with_field("fname", ["a", "b"]), "annotation 15|shape"),
    "a way out": (with_field("fname", "../../../etc/passwd"), "it would lie outside"),
    "a way out inside": (with_field("fname", "3/../../../bmw10_annos.mat"), "it would lie outside"),
    "the top of the disk": (with_field("fname", "/etc/passwd"), "it would lie outside"),
    "another disk": (with_field("fname", "C:/Windows/win.ini"), "no name on every system"),
    "a way out elsewhere": (with_field("fname", "..\\..\\secret.jpg"), "no name on every system"),
    "no name": (with_field("fname", ""), "it would lie outside"),
    "a bell": (with_field("fname", "3/\a.jpg"), "no name on every system"),
    "a long name": (with_field("fname", "3/" + "x" * 300 + ".jpg"), "it is too long"),
    "a terminal's escape": (with_field("fname", "3/\x1b[31m.jpg"), "no name on every system"),
    "no such file": (with_field("fname", "3/5.jpg"), "names 3/5.jpg, which"),
    "a text for a class": (with_field("class", "three"), "'three' is no number"),
    "half a class": (with_field("class", 2.5), "2.5 is no whole number"),
    "class 0": (with_field("class", 0), "has class 0; the classes are"),
    "a negative class": (with_field("class", -3), "has class -3; the classes are"),
    "two classes": (with_field("class", np.array([1, 2])), "is no number"),
    "no class": (with_field("class", np.array([])), "is no number"),
    "a box without end": (with_field("bbox_x2", np.inf), "inf is no whole number"),
    "a box of nothing": (with_field("bbox_x1", np.nan), "nan is no whole number"),
    "a huge box": (with_field("bbox_x2", 1e300), "is no whole number below"),
    "a box from right to left": (with_field("bbox_x1", 35), "no pixel lies in columns 35 … 30"),
    "a box upside down": (with_field("bbox_y2", 3), "no pixel lies in columns 11 … 30, rows 5 … 3"),
    "a box left of it all": (lambda row: (*row[:2], -30, -11, *row[4:]), "no pixel lies"),
    "a box with an edge in text": (with_field("bbox_y1", "top"), "'top' is no number"),
    "a box with nested edges": (with_field("bbox_y1", {"y": 1}), "is no number"),
}


@pytest.mark.parametrize("kind", WRONG_ANNOTATIONS)
def test_a_wrong_annotation_is_named_in_one_line(tmp_path, capsys, kind):
    change, words = WRONG_ANNOTATIONS[kind]
    cars(tmp_path / "bmw10_release", change)
    with pytest.raises(UserError, match=words) as refused:
        BMW10(root=str(tmp_path)).index()
    assert str(tmp_path / "bmw10_release" / "bmw10_annos.mat") in str(refused.value)
    assert checked(capsys, "bmw10", "--root", tmp_path)[0] == 2


def test_a_box_beside_its_picture_is_a_finding(tmp_path, capsys):
    cars(tmp_path / "bmw10_release", lambda row: (*row[:2], 50, 60, *row[4:]))
    status, out, _ = checked(capsys, "bmw10", "--root", tmp_path)
    assert "problem: 3/4.jpg has a mask without any key region" in out
    assert status == 1


WRONG_SPLITS = {
    "empty": (np.zeros(0), "is no list of images"),
    "two-dimensional": (np.arange(1, 5).reshape(2, 2), "is no list of images, but of shape (2, 2)"),
    "nested": (np.array([[1, 2], [3]], dtype=object), "is no|shape"),
    "not whole": (np.array([1.0, 2.5]), "2.5 is no whole number"),
    "infinite": (np.array([1.0, np.inf]), "inf is no whole number"),
    "not a number": (np.array([1.0, np.nan]), "nan is no whole number"),
    "zero": (np.array([0, 1]), "names image 0 of"),
    "negative": (np.array([-1, 1], np.int16), "names image -1 of"),
    "beyond the last": (np.array([1, 60_000], np.uint16), "names image 60000 of"),
    "huge": (np.array([1, 2**62]), "is no whole number below"),
    "twice": (np.array([1, 2, 1]), "names image 1 twice"),
    "text": ("all of them", "is no number"),
    "complex": (np.array([1 + 1j, 2]), "a variable of class"),
    "a structure": ({"first": 1}, "is no number"),
}


@pytest.mark.parametrize("kind", WRONG_SPLITS)
@pytest.mark.parametrize("dataset", ["bmw10", "flowers17"])
def test_a_wrong_split_is_named_in_one_line(tmp_path, capsys, dataset, kind):
    numbers, words = WRONG_SPLITS[kind]
    if dataset == "bmw10":
        cars(tmp_path / "bmw10_release", train_indices=numbers)
    else:
        flowers(tmp_path, trn1=numbers)
    status, _, err = checked(capsys, dataset, "--root", tmp_path)
    assert status == 2
    assert any(word in err for word in words.split("|"))
    assert ".mat holds no " in err


def flowers(tmp_path, **content):
    (tmp_path / "flowers17" / "jpg").mkdir(parents=True)
    for number in range(1, 1361):
        (tmp_path / "flowers17" / "jpg" / f"image_{number:04d}.jpg").touch()
    numbers = np.arange(1, 1361).reshape(17, 80)
    splits = {"trn": numbers[:, :40], "val": numbers[:, 40:60], "tst": numbers[:, 60:]}
    found = {f"{key}{split}": part.reshape(1, -1) for key, part in splits.items() for split in (1, 2, 3)}
    savemat(tmp_path / "flowers17" / "datasplits.mat", found | content)


def test_an_image_in_two_parts(tmp_path):
    flowers(tmp_path, val1=np.array([[1, 41]]))
    with pytest.raises(UserError, match="'image_0001' is in the train and in the validation part"):
        Flowers17(root=str(tmp_path)).index()
    assert Flowers17(root=str(tmp_path), split=2).index()


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind, shape, name, *parts):
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name) + b"".join(parts))


def mat(*elements, version=0x0100):
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", version) + b"IM" + b"".join(elements)


def nested(depth):
    inner = matrix(6, (1, 1), b"", element(9, struct.pack("<d", 1.0)))
    for _ in range(depth):
        inner = matrix(1, (1, 1), b"", inner)
    return inner


def bomb(size):
    """A variable of ``size`` zeros in a thousandth of the bytes."""
    packed = zlib.compress(matrix(9, (size, 1), b"annos", element(2, bytes(size))), 9)
    return struct.pack("<II", 15, len(packed)) + packed


MAT_FILES = {
    "nothing": (b"", "no MAT-file of version 5"),
    "a page": (b"<html>" * 40, "no MAT-file of version 5"),
    "version 4": (struct.pack("<5i", 0, 1, 1, 0, 2) + b"x\0" + bytes(300), "no MAT-file of version 5"),
    "version 7.3": (mat(version=0x0200) + b"\x89HDF\r\n\x1a\n" + bytes(600), "save it with -v7"),
    "cut off": (mat(nested(3))[:-20], "it is cut off"),
    "cut off while packed": (mat(bomb(1000)[:-8]), "it is cut off"),
    "nested like dolls": (mat(nested(50)), "nested more than 16 deep"),
    "unfolds to 128 MB": (mat(bomb(2**27)), "unfolds to more than 67108864 bytes"),
    "unfolds in two parts": (mat(bomb(50_000_000), bomb(50_000_001)), "two variables 'annos'|unfolds to more"),
    "claims a billion cells": (mat(matrix(1, (30_000, 30_000), b"annos")), "shape (30000, 30000) in"),
    "claims a negative shape": (mat(matrix(9, (-1, 8), b"annos", element(2, bytes(8)))), "a variable of shape"),
    "numbers of no known type": (mat(matrix(9, (8, 1), b"annos", element(0, bytes(8)))), "a variable of class 9"),
    "an object": (mat(matrix(17, (1, 1), b"annos")), "a variable of class 17"),
    "a function": (mat(matrix(16, (1, 1), b"annos", nested(0))), "a variable of class 16"),
    "a sparse matrix": (mat(matrix(5, (3, 3), b"annos", element(5, bytes(12)))), "a variable of class 5"),
    "two of one name": (mat(*[matrix(9, (1, 1), b"a", element(2, b"\1"))] * 2), "two variables 'a'"),
    "another type than a variable": (mat(element(9, bytes(8))), "in the place of a variable"),
    "a structure of no fields": (
        mat(matrix(2, (2, 1), b"a", element(5, struct.pack("<i", 0)), element(1, b""))),
        "holds no annotations",
    ),
}


@pytest.mark.parametrize("kind", MAT_FILES)
def test_a_mat_file_of_a_stranger(tmp_path, capsys, kind):
    content, words = MAT_FILES[kind]
    cars(tmp_path / "bmw10_release")
    (tmp_path / "bmw10_release" / "bmw10_annos.mat").write_bytes(content)
    status, _, err = checked(capsys, "bmw10", "--root", tmp_path)
    assert status == 2
    assert any(word in err for word in words.split("|"))
    assert "bmw10_annos.mat holds no annotations of BMW-10" in err


def test_mat_files_are_read_as_scipy_reads_them(tmp_path):
    """The reader that is trusted with good files is the oracle."""
    kinds = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8")
    numbers = {kind: np.arange(6).reshape(2, 3).astype(kind) for kind in kinds}
    content = {**{f"n_{kind}": value for kind, value in numbers.items()}, "one": 7,
               "flag": np.array([True, False]), "text": "Käfer 猫"}  # fmt: skip
    for compressed in (False, True):
        buffer = io.BytesIO()
        savemat(buffer, content, do_compression=compressed)
        ours, theirs = parse_mat(buffer.getvalue()), loadmat(io.BytesIO(buffer.getvalue()), squeeze_me=True)
        for name in content:
            assert np.array_equal(ours[name], theirs[name]), name
    buffer = io.BytesIO()
    savemat(buffer, {"rows": np.array([(1, "x"), (2, "y")], dtype=[("a", object), ("b", object)]),
                     "cells": np.array([1.0, "two"], dtype=object)})  # fmt: skip
    assert parse_mat(buffer.getvalue()) == {"rows": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], "cells": [1.0, "two"]}


def test_the_published_splits_are_read_as_scipy_reads_them(data_root):
    path = data_root / "flowers17" / "datasplits.mat"
    ours, theirs = parse_mat(path.read_bytes()), loadmat(path, squeeze_me=True)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert len(ours) == 9


def stanford(root, annotations):
    base = root / "stanford_cars"
    for name in ("devkit", "cars_train", "cars_test"):
        (base / name).mkdir(parents=True)
    kinds = [("fname", object), ("class", object)]
    for path, rows in zip(("devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat"), annotations, strict=True):
        savemat(base / path, {"annotations": np.array([rows], dtype=kinds)})
    savemat(base / "devkit" / "cars_meta.mat", {"class_names": np.array([["one", "two"]], dtype=object)})
    return base


GOOD = [("1.jpg", 1), ("2.jpg", 2)]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param([("../../../etc/passwd", 1), ("2.jpg", 2)], "it would lie outside", id="a way out"),
        pytest.param([("/etc/passwd", 1), ("2.jpg", 2)], "/etc/passwd", id="the top of the disk"),
        pytest.param([("1.jpg", np.nan), ("2.jpg", 2)], "nan is no whole number", id="no class"),
        pytest.param([("1.jpg", 3), ("2.jpg", 2)], "has class 2 of 2", id="no such class"),
        pytest.param([("1.jpg", 1), ("1.jpg", 2)], "part twice|and in the", id="twice"),
        pytest.param([(1, 1), (2, 2)], "no stanford_cars in", id="no names"),
    ],
)
def test_what_torchvision_believes_is_looked_at(tmp_path, rows, words):
    stanford(tmp_path, (rows, GOOD))
    with pytest.raises(UserError, match=words):
        StanfordCars(root=str(tmp_path)).index()


@pytest.mark.parametrize("kind", ["pipe", "nested like dolls", "numbers of no known type"])
def test_what_would_end_torchvision_never_reaches_it(tmp_path, kind):
    victim = stanford(tmp_path, (GOOD, GOOD)) / "devkit" / "cars_train_annos.mat"
    victim.unlink()
    os.mkfifo(victim) if kind == "pipe" else victim.write_bytes(MAT_FILES[kind][0])
    with pytest.raises(UserError, match=r"cars_train_annos\.mat holds no annotations of Stanford Cars"):
        StanfordCars(root=str(tmp_path)).index()
