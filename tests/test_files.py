"""Files and folders that are whole or not there at all."""

import errno
import os
import subprocess
import sys

import pytest

from atlpa.errors import UserError
from atlpa.files import atomic_file, atomic_folder, no_room, read_text


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """The file is whole at every moment, and in the end the later's."""
    path = tmp_path / "record.json"
    with atomic_file(path) as first:
        first.write(b"first, ")
        with atomic_file(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        first.write(b"whole")
    assert path.read_bytes() == b"first, whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("below", ["report", "deep/er/report"])
def test_a_folder_appears_with_all_its_files_or_not_at_all(tmp_path, below):
    folder = tmp_path / below

    def write(*texts):
        with atomic_folder(folder) as scratch:
            for name, text in zip("ab", texts, strict=False):
                (scratch / name).write_text(text)
            if len(texts) < 2:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write("half")
    assert list(tmp_path.iterdir()) == []
    write("1", "1")
    (folder / "run").mkdir()
    (folder / "run" / "last.pt").write_text("precious")
    with pytest.raises(RuntimeError):
        write("2")
    assert {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} == {"a": "1", "b": "1"}
    write("2", "2")
    assert {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} == {"a": "2", "b": "2"}
    assert (folder / "run" / "last.pt").read_text() == "precious"
    assert {path.name for path in folder.iterdir()} == {"a", "b", "run"}


def limited(tmp_path, code):
    """What a process printed that may write no file of more than 200 kB."""
    code = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n{code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.stdout


WITHOUT_ROOM = """
from pathlib import Path
import torch
from atlpa.errors import UserError
from atlpa.files import atomic_file, atomic_folder
try:
    {}
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("how", ["file.write(bytes(10**6))", "torch.save(torch.zeros(10**6), file)"])
def test_a_file_without_room_is_named_and_the_old_one_kept(tmp_path, how):
    """torch hides the reason behind an error of its own."""
    (tmp_path / "old.pt").write_bytes(b"old")
    said = limited(tmp_path, WITHOUT_ROOM.format(f"with atomic_file(Path('old.pt')) as file: {how}"))
    assert said.startswith("no room to write old.pt (File too large); what was there before is kept: make room")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"old.pt": b"old"}


def test_a_folder_without_room_is_named_and_nothing_left(tmp_path):
    body = "with atomic_folder(Path('report')) as scratch: (scratch / 'a').write_bytes(bytes(10**6))"
    said = limited(tmp_path, WITHOUT_ROOM.format(body))
    assert said.startswith("no room to write report (File too large)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EIO])
def test_only_want_of_room_is_called_so(tmp_path, number):
    error = OSError(number, os.strerror(number))
    assert bool(no_room(error, tmp_path)) == (number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.write_bytes(b"\xff"), "is no text in UTF-8"),
        (lambda path: path.write_bytes(b"x" * 11), "cannot be read .it has 11 bytes, more than 10"),
        (os.mkfifo, "it is a pipe, no plain file"),
        (lambda path: path.mkdir(), "it is a folder, no plain file"),
        (lambda path: path.symlink_to("text"), "cannot be read"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device, no plain file"),
        (lambda path: path.unlink(missing_ok=True), "cannot be read"),
    ],
    ids=["binary", "large", "pipe", "folder", "link to itself", "device", "missing"],
)
def test_a_text_that_cannot_be_read_is_named(tmp_path, make, why):
    make(tmp_path / "text")
    with pytest.raises(UserError, match=f"text.*{why}"):
        read_text(tmp_path / "text", 10)


def test_a_scratch_folder_that_was_left_goes_and_one_in_use_stays(tmp_path):
    """As two shards of a study that draw their report at once, after one was killed at it."""
    (tmp_path / ".half-left").mkdir()
    (tmp_path / ".half-left" / "table.md").write_text("half")
    with atomic_folder(tmp_path) as first:
        assert list(tmp_path.iterdir()) == [first]
        (first / "one").write_text("1")
        with atomic_folder(tmp_path) as second:
            (second / "two").write_text("2")
        assert (first / "one").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_half_file_that_was_left_goes_and_one_being_written_stays(tmp_path):
    path = tmp_path / "record [1].json"
    (tmp_path / "record [1].json.0123abcd.half").write_text("cut off")
    (tmp_path / "other.json.0123abcd.half").write_text("not ours")
    with atomic_file(path) as first:
        first.write(b"first")
        with atomic_file(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other.json.0123abcd.half", "record [1].json"]
