"""Files that are whole or not there at all, and what is said where there is no room for them."""

from __future__ import annotations

import errno
import glob
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from atlpa.errors import UserError, shown
from atlpa.plain_file import open_plain
from atlpa.scratch import held, remove_left, scratch_folder

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def no_room(error: OSError, path: Path) -> UserError | None:
    """What a user is told if a disk, a quota or a limit on the size of files stands in the way; else ``None``."""
    if error.errno not in NO_ROOM:
        return None
    return UserError(
        f"no room to write {path} ({error.strerror}); what was there before is kept: make room and repeat the command"
    )


class _Watched(io.FileIO):
    """A file that remembers why it could not be written; torch's writers hide it behind an error of their own."""

    failure: OSError | None = None

    def write(self, content: Any) -> int:
        """Write, and remember the error."""
        try:
            return super().write(content)
        except OSError as error:
            self.failure = error
            raise


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file's new content beside it, and put it in place in one move when the ``with`` ends well.

    A crash leaves the old content, and at worst a neighbor that ends in ``.half``, until the file is written again. Its
    name is new each time, since other processes may write the same file.

    Raises:
        UserError: there is no room; the old content is kept.
    """

    def new() -> Path:
        half = path.with_name(f"{path.name}.{secrets.token_hex(4)}.half")
        half.touch(exist_ok=False)
        return half

    remove_left(path.parent.glob(f"{glob.escape(path.name)}.*.half"))
    raw = None
    try:
        with held(new) as half:
            try:
                raw = _Watched(half, "wb")
                with io.BufferedWriter(raw) as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                half.replace(path)
            except BaseException:
                half.unlink(missing_ok=True)
                raise
    except Exception as error:
        failure = (raw and raw.failure) or error
        if isinstance(failure, OSError) and (problem := no_room(failure, path)):
            raise problem from error
        raise


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a scratch folder, and move its files into another folder when the ``with`` ends well.

    Files of the same name are replaced; nothing else there is touched. A failure leaves the other folder as it was, or
    not there at all. The scratch folder lies in the nearest folder that exists, so that each move is one step.

    Raises:
        UserError: there is no room.
    """
    try:
        with scratch_folder(_nearest(folder)) as scratch:
            yield scratch
            folder.mkdir(parents=True, exist_ok=True)
            for file in sorted(scratch.iterdir()):
                file.replace(folder / file.name)
    except OSError as error:
        if problem := no_room(error, folder):
            raise problem from error
        raise


def unwritable(folder: Path) -> str | None:
    """Why a folder that may have to be made cannot be written, if so."""
    if "\0" in str(folder):
        return f"no folder can be called {shown(str(folder))}"
    near = _nearest(folder)
    return None if near.is_dir() and os.access(near, os.W_OK) else f"{near} is no folder that can be written"


def unwritable_file(path: Path) -> str | None:
    """Why a file cannot be written, or replaced where it is there, if so."""
    if "\0" in str(path):
        return f"no file can be called {shown(str(path))}"
    if path.exists() and not path.is_file():
        return f"{path} is no plain file"
    return unwritable(path.parent)


def _nearest(folder: Path) -> Path:
    """The folder itself if it is there, else the nearest one above it."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def write_text(path: Path, text: str) -> None:
    """Replace a file's content by text, in UTF-8."""
    with atomic_file(path) as file:
        file.write(text.encode())


def read_text(path: Path, largest: int) -> str:
    """A file's text, in UTF-8.

    Args:
        path: a plain file: nothing that a reader would wait at.
        largest: in bytes.

    Raises:
        UserError: it is missing, no plain file, larger, unreadable or no UTF-8.
    """
    try:
        with open_plain(path, largest) as file:
            return file.read().decode()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start})") from error
    except ValueError as error:  # a NUL in its name
        raise UserError(f"no file can be called {shown(str(path))}") from error


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, making the folder it goes into."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as content, atomic_file(target) as file:
        shutil.copyfileobj(content, file)
