"""One owner for each run's folder: two processes that train in one would overwrite each other."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from atlpa.errors import PlaceTaken, UserError
from atlpa.files import no_room

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "owner.lock"
"""The file in a folder that is owned. It names the owner, and outlives one that was killed without consequence."""


class InUse(PlaceTaken):
    """Another process owns a folder, at this moment."""


@contextmanager
def run_lock(folder: Path, say: Callable[[str], None] = print) -> Iterator[None]:
    """Own a folder until the ``with`` ends, or the process does, however it dies.

    The lock is the operating system's, which lets go of it when its process is gone. What a dead owner left
    half-written is removed.

    Args:
        folder: a run's; made if need be.
        say: told where the system or the file system knows no locks, and nobody is kept out.

    Raises:
        InUse: another process owns it.
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise no_room(error, folder) or UserError(
            f"{folder} cannot be made ({error.strerror}); choose another --output"
        ) from error
    path = folder / LOCK
    file = _locked(path, say)
    try:
        with suppress(OSError):  # on a full disk the owner goes unnamed; the lock holds all the same
            os.truncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
        for left in folder.glob("*.half"):
            left.unlink(missing_ok=True)
        yield
    finally:
        with suppress(OSError):  # Windows keeps the name of an open file
            if _named(path, file):
                path.unlink()  # while it is locked
        os.close(file)


def in_use(folder: Path) -> bool:
    """Whether another process owns a folder; to ask, it is shared for a moment."""
    try:
        file = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no locks are known here
    finally:
        os.close(file)
    return False


def _locked(path: Path, say: Callable[[str], None]) -> int:
    """A descriptor of the file, locked."""
    patience = 3  # with whoever only asks whether it is owned, for a moment
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise no_room(error, path) or error from error
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no locks")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _named(path, file):
                return file
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                say(f"note: no locks are known here; see to it that no second process trains in {path.parent}")
                return file
            owner = os.read(file, 300).decode(errors="replace") or "another process"
            os.close(file)
            if patience := patience - 1:
                threading.Event().wait(0.05)
                continue
            raise InUse(
                f"{path.parent} is in the hands of {owner}",
                "a run is trained by one process: wait for it or choose another --output",
            ) from error
        os.close(file)  # locked too late: its owner has removed it


def _named(path: Path, file: int) -> bool:
    """Whether an open file still has its name: its folder may be moved, its owner may have removed it."""
    return path.exists() and os.path.samestat(os.fstat(file), path.stat())
