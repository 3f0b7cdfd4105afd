"""Files that are whole or not there at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file's new content beside it, and put it in place in one move when the ``with`` ends well.

    A crash leaves the old content, and at worst a neighbor that ends in ``.half``; the next writing replaces that.
    """
    half = path.with_name(path.name + ".half")
    try:
        with half.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Replace a file's content by text, in UTF-8."""
    with replacing(path) as file:
        file.write(text.encode())


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, making the folder it goes into."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as content, replacing(target) as file:
        shutil.copyfileobj(content, file)
