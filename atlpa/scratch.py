"""What is being made and last no longer than the process that makes it, however that dies."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = ".half-"


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A folder for what is being made, gone when the ``with`` ends; those that killed processes left go first."""
    remove_left(beside.glob(f"{PREFIX}*"))
    with held(lambda: Path(tempfile.mkdtemp(prefix=PREFIX, dir=beside))) as folder:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def held(make: Callable[[], Path]) -> Iterator[Path]:
    """A new file or folder, locked through the operating system until the ``with`` ends, or the process does.

    Where there are no such locks, nobody can tell which process lives, and what is left stays.
    """
    while True:
        path = make()
        lock = None
        if fcntl:
            with suppress(OSError):
                lock = os.open(path, os.O_RDONLY)
                fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            break
        if lock is not None:  # it was taken for one that was left, before it was locked
            os.close(lock)
    try:
        yield path
    finally:
        if lock is not None:
            os.close(lock)


def remove_left(paths: Iterable[Path]) -> None:
    """Remove the files and folders that no living process holds."""
    for path in paths if fcntl else ():
        with suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would be waited at
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(lock)
