"""Scratch folders that last no longer than the process that made them, however it dies."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = ".half-"


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A folder for what is being made, gone when the ``with`` ends; those that killed processes left go first.

    Each is locked through the operating system as long as its process lives. Where there are no such locks, nobody can
    tell who does, and what is left stays.
    """
    for left in beside.glob(f"{PREFIX}*"):
        with suppress(OSError):
            _remove_if_left(left)
    folder, lock = _locked(beside)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _locked(beside: Path) -> tuple[Path, int | None]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=beside))
        if fcntl is None:
            return folder, None
        with suppress(FileNotFoundError):  # taken for one that was left, before it was locked
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder unless its process lives, or nobody knows.

    Raises:
        OSError: it is locked, or cannot be.
    """
    if fcntl is None:
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
