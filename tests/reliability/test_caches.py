"""Caches are looked at before they are believed: whatever lies in their place, the images shown are the right ones."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from atlpa.attacks import PGD
from atlpa.data import Item, load_images
from atlpa.data.images import InMemory
from atlpa.errors import UserError
from atlpa.evaluation import transfer

CPU = torch.device("cpu")
ATTACK = PGD(epsilon=0.1, step=0.05, iterations=2)


def flipped(place):
    """One byte at some share of the file is another."""

    def spoil(path):
        content = bytearray(path.read_bytes())
        content[int(place * (len(content) - 1))] ^= 0x40
        path.write_bytes(content)

    return spoil


def other_file(make):
    def spoil(path):
        path.unlink()
        make(path)

    return spoil


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def longer(path):
    path.write_bytes(path.read_bytes() + b"\0")


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


SPOILED = {
    "first byte": flipped(0.0),
    "a byte of the header or first image": flipped(0.01),
    "a byte in the middle": flipped(0.5),
    "a byte of the last image": flipped(0.98),
    "the checksum": flipped(1.0),
    "zeros": zeros,
    "cut": cut,
    "longer": longer,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no images"),
    "a pipe": other_file(os.mkfifo),
    "a device": other_file(lambda path: path.symlink_to("/dev/zero")),
    "a link to itself": other_file(lambda path: path.symlink_to(path.name)),
    "a link to nothing": other_file(lambda path: path.symlink_to("nowhere")),
    "a folder": other_file(Path.mkdir),
    "a full folder": other_file(lambda path: (path / "x").mkdir(parents=True)),
}
each_way = pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)


@pytest.fixture
def without_rights(monkeypatch):
    """Files that another user keeps to himself, which root could read."""

    def refuse(path):
        opened = os.open

        def guarded(name, *arguments, **more):
            if os.fspath(name) == str(path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return opened(name, *arguments, **more)

        monkeypatch.setattr(os, "open", guarded)
        from_file = torch.from_file

        def torch_guarded(name, **more):
            if name == str(path):
                raise RuntimeError(f"unable to open file <{name}> in read-only mode: Permission denied (13)")
            return from_file(name, **more)

        monkeypatch.setattr(torch, "from_file", torch_guarded)

    return refuse


# Decoded images.


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLPA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


ITEMS = [Item(str(number), number % 2, np.full((9, 7), 10 * number, np.uint8)) for number in range(6)]


def decoded():
    return load_images(ITEMS, 8, CPU)[torch.arange(len(ITEMS))].clone()


@each_way
def test_a_spoiled_cache_of_decoded_images_is_done_without_and_said(cache, capsys, spoil):
    right = decoded()
    assert [int(picture.float().mean()) for picture in right] == [0, 10, 20, 30, 40, 50]
    assert capsys.readouterr().err == ""
    (file,) = cache.iterdir()
    spoil(file)
    assert torch.equal(decoded(), right)
    first, *more = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{file} is done without (")
    if file.is_dir():  # which cannot be replaced
        assert more == [f"the decoded images cannot be kept at {file} (Is a directory)"]
        assert not list(cache.glob("*.half"))
    else:
        assert more == []
        assert torch.equal(decoded(), right)
        assert capsys.readouterr().err == ""


def test_another_users_cache_is_done_without(cache, capsys, without_rights):
    right = decoded()
    (file,) = cache.iterdir()
    without_rights(file)
    assert torch.equal(decoded(), right)
    assert "Permission denied" in capsys.readouterr().err


def test_a_full_disk_takes_no_decoded_images_and_stops_nothing(cache, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        right = decoded()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"the decoded images cannot be kept at {cache}")
    assert "No space left on device" in line
    assert list(cache.iterdir()) == []
    assert torch.equal(decoded(), right)


def test_decoding_that_fails_leaves_no_cache(cache, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(UserError, match=r"bad\.png"):
        load_images([*ITEMS, Item("bad.png", 0, tmp_path / "bad.png")], 8, CPU)
    assert list(cache.iterdir()) == []


# Transferred images.


@pytest.fixture
def network(small_cnn):
    return small_cnn.float().eval()


@pytest.fixture
def data():
    pixels = torch.randint(256, (7, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    return InMemory(pixels, torch.arange(7) % 5)


def shown(network, data, keep):
    return transfer(network, {"it": network}, data, ATTACK, (1, 2), batch_size=3, keep=keep)["it"]


@each_way
def test_spoiled_transferred_images_are_made_anew_and_said(network, data, tmp_path, capsys, spoil):
    file = tmp_path / "kept.npy"
    right = shown(network, data, file)
    whole = file.read_bytes()
    spoil(file)
    again = shown(network, data, file)
    assert torch.equal(again.robust, right.robust)
    assert torch.equal(again.perturbation.linf, right.perturbation.linf)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{file} is done without (")
    if file.is_file():
        assert line.endswith("its images are made anew and replace it")
        assert file.read_bytes() == whole
    else:
        assert line.endswith("(" + f"{file} is no plain file)")
    assert not list(tmp_path.glob("*.half"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 1.5], ids=str)
def test_images_that_are_none_are_made_anew_though_their_checksum_is_right(network, data, tmp_path, capsys, value):
    """Written by ourselves, so that all but the pixels is as it should be."""
    file = tmp_path / "kept.npy"
    right = shown(network, data, file)
    whole = file.read_bytes()
    images = np.load(file)
    images[1, 3, 0, 0, 0] = value
    write_kept(file, images, whole)
    assert torch.equal(shown(network, data, file).robust, right.robust)
    assert "its pixels are not in [0, 1]" in capsys.readouterr().err
    assert file.read_bytes() == whole


def write_kept(file, images, whole):
    from hashlib import sha256

    content = images.tobytes()
    file.write_bytes(whole[: len(whole) - len(content) - 32] + content + sha256(content).digest())


def test_images_farther_than_epsilon_are_refused(network, data, tmp_path):
    file = tmp_path / "kept.npy"
    shown(network, data, file)
    images = np.load(file)
    write_kept(file, 1 - images, file.read_bytes())
    with pytest.raises(UserError, match="moved a pixel by"):
        shown(network, data, file)


def test_another_users_images_are_made_anew(network, data, tmp_path, capsys, without_rights):
    file = tmp_path / "kept.npy"
    right = shown(network, data, file)
    without_rights(file)
    assert torch.equal(shown(network, data, file).robust, right.robust)
    assert "Permission denied" in capsys.readouterr().err


def test_where_they_cannot_be_replaced_images_are_not_kept(network, data, tmp_path, capsys, monkeypatch):
    file = tmp_path / "kept.npy"
    right = shown(network, data, file)
    zeros(file)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert torch.equal(shown(network, data, file).robust, right.robust)
    assert f"not kept ({tmp_path} is no folder that can be written)" in capsys.readouterr().err
    assert not file.read_bytes().strip(b"\0")


def test_kept_images_are_read_by_numpy_alone(network, data, tmp_path):
    """The checksum stands behind them."""
    file = tmp_path / "kept.npy"
    shown(network, data, file)
    assert np.load(file).shape == np.load(file, mmap_mode="r").shape == (2, 7, 3, 16, 16)
