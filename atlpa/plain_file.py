"""Strangers' files, opened: nothing is waited for that never comes, and nothing is read that has no end."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

LARGEST_FILE = 2**30
"""Bytes; no picture of an area that is read, and no published annotations, need as many."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_plain(path: Path, most: int | None = LARGEST_FILE) -> io.BufferedReader:
    """Open a file for reading, if it is a plain one.

    Args:
        path: a file, or a link to one.
        most: how many bytes it may have; ``None`` where what is read is limited otherwise.

    Raises:
        OSError: there is none, or it is a pipe, a device, a socket, a folder or too large; ``strerror`` says which.
    """
    _refuse(path, os.stat(path), most)  # before it is opened, which for a device may do something
    # What has taken its place meanwhile is not waited for either.
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # whoever asked closes it
    try:
        _refuse(path, os.fstat(file.fileno()), most)
    except OSError:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse(path: Path, found: os.stat_result, most: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, no plain file", str(path))
    if most is not None and found.st_size > most:
        raise OSError(errno.EINVAL, f"it has {found.st_size} bytes, more than {most}", str(path))
