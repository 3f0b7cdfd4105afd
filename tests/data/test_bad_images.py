"""Every way a picture can be bad is one clear line that names the file; on request it is left out and listed."""

import errno
import json
import os
import struct
import zlib

import pytest
from PIL import Image

from atlpa.cli.data import main as check
from atlpa.cli.train import main
from atlpa.data import Folder, unreadable
from atlpa.errors import UserError
from atlpa.runs import Run

QUICK = ["--set", "training.iterations=2", "--set", "training.batch_size=4", "--set", "data.size=16",
         "--set", "data.resize=16", "--set", "model.architecture=resnet18", "--set", "model.weights=none"]  # fmt: skip


def huge_png():
    """A header that promises 20 000 × 20 000 pixels."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def make_bad(path, kind):
    if kind == "truncated":
        Image.effect_noise((200, 200), 80).save(path)
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "tiny":
        Image.new("RGB", (1, 1)).save(path)
    else:
        path.write_bytes({"text": b"no image", "empty": b"", "huge": huge_png()}[kind])


KINDS = ("text", "empty", "truncated", "tiny", "huge")


@pytest.fixture
def photographs(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (12, 9), 10 * number).save(tmp_path / "photos" / name / f"{number}.jpg")
    return tmp_path / "photos"


@pytest.fixture
def config(photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(f"data: {{name: folder, root: {photographs}}}\ndefense: none\n")
    return ["--config", "mine.yaml", *QUICK, "--output", "run"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_image_is_named_in_one_line(photographs, config, tmp_path, capsys, kind):
    make_bad(photographs / "cat" / "0.jpg", kind)
    items = {item.name: item for part in Folder(root=str(photographs)).index().parts.values() for item in part}
    with pytest.raises(UserError, match=r"cat/0\.jpg is no readable image"):
        items["cat/0.jpg"].open()
    make_bad(photographs / "dog" / "1.jpg", kind)
    for number in range(8):  # so that the training part holds some, whatever the split
        make_bad(photographs / "cat" / f"{number}.jpg", kind)
    assert main(config) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert ".jpg is no readable image" in line
    assert "--skip-unreadable" in line
    assert not (tmp_path / "run").exists()


def test_bad_images_are_skipped_and_listed(photographs, config, tmp_path, capsys):
    for kind, number in zip(KINDS, range(5), strict=True):
        make_bad(photographs / ("cat" if number % 2 else "dog") / f"{number}.jpg", kind)
    assert main([*config, "--skip-unreadable"]) == 0
    assert "5 unreadable images are left out" in capsys.readouterr().out
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    assert split["skipped"].keys() == {"dog/0.jpg", "cat/1.jpg", "dog/2.jpg", "cat/3.jpg", "dog/4.jpg"}
    listed = [name for part in split["parts"].values() for name in part]
    assert len(listed) == 11
    assert not split["skipped"].keys() & set(listed)
    # The run knows its data again, even when the bad files are removed, as the message advises.
    for name in split["skipped"]:
        (photographs / name).unlink()
    run = Run.open(tmp_path / "run")
    index = run.read_index(run.training.data)
    assert sorted(item.name for part in index.parts.values() for item in part) == sorted(listed)
    assert unreadable(index) == {}


def test_a_class_without_a_readable_image(photographs, config, capsys):
    for number in range(8):
        make_bad(photographs / "cat" / f"{number}.jpg", "text")
    assert main([*config, "--skip-unreadable"]) == 2
    assert "class 'cat' has no readable training image" in capsys.readouterr().err


def test_the_split_is_written_down(photographs, config, tmp_path):
    assert main(config) == 0
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    index = Folder(root=str(photographs)).index()
    for part, items in index.parts.items():
        assert list(split["parts"][part].items()) == [(item.name, index.classes[item.label]) for item in items]


@pytest.mark.parametrize("place", [".", "cat", "cat/inner"])
def test_no_permission(photographs, monkeypatch, capsys, place):
    """Not even a test that runs as root may look into this directory."""
    (photographs / "cat" / "inner").mkdir()
    real, closed = os.scandir, os.path.normpath(photographs / place)

    def scandir(path):
        if os.path.normpath(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "listdir", lambda path: [entry.name for entry in scandir(path)])
    assert check(["check", str(photographs)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(": Permission denied")
    assert str(photographs) in line
