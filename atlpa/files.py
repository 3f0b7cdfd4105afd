"""Files that are whole or not there at all."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file's new content beside it, and put it in place in one move when the ``with`` ends well.

    A crash leaves the old content, and at worst a neighbor that ends in ``.half``. Its name is new each time, since
    other processes may write the same file.
    """
    half = path.with_name(f"{path.name}.{secrets.token_hex(4)}.half")
    try:
        with half.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a scratch folder, and move its files into another folder when the ``with`` ends well.

    Files of the same name are replaced; nothing else there is touched. A failure leaves the other folder as it was, or
    not there at all. The scratch folder lies in the nearest folder that exists, so that each move is one step.
    """
    with tempfile.TemporaryDirectory(prefix=".half-", dir=_nearest(folder)) as scratch:
        yield Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(Path(scratch).iterdir()):
            file.replace(folder / file.name)


def unwritable(folder: Path) -> str | None:
    """Why a folder that may have to be made cannot be written, if so."""
    near = _nearest(folder)
    return None if near.is_dir() and os.access(near, os.W_OK) else f"{near} is no folder that can be written"


def _nearest(folder: Path) -> Path:
    """The folder itself if it is there, else the nearest one above it."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def write_text(path: Path, text: str) -> None:
    """Replace a file's content by text, in UTF-8."""
    with atomic_file(path) as file:
        file.write(text.encode())


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, making the folder it goes into."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as content, atomic_file(target) as file:
        shutil.copyfileobj(content, file)
