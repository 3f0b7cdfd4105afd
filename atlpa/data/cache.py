"""Decoded images kept on disk: a memory-mapped uint8 file, named after the content of what it was made from.

The images are followed by their SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from torch import Tensor

from atlpa.errors import one_line, reason

FORMAT = "1"  # to be raised when decoding or resizing changes
CHECKSUM = 32  # bytes of a SHA-256


def folder() -> Path:
    """``ATLPA_CACHE`` from the environment, else ``atlpa`` in the user's cache folder (``XDG_CACHE_HOME``)."""
    own = os.environ.get("ATLPA_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "atlpa"


def path(fingerprints: Iterable[bytes], side: int) -> Path:
    """Where the images with these contents lie decoded at one resolution, if anywhere."""
    digest = hashlib.sha256(f"{FORMAT} {side}".encode())
    for fingerprint in fingerprints:
        digest.update(fingerprint)
    return folder() / f"{digest.hexdigest()[:32]}.u8"


def read(file: Path, count: int, side: int) -> Tensor | None:
    """The decoded images ``(N, 3, S, S)`` uint8, mapped into memory; ``None`` if there are none.

    A file that cannot be read, or is not what was written, is done without, with a line on standard error.
    """
    if not os.path.lexists(file):
        return None
    try:
        if not file.is_file() or file.stat().st_size != _size(count, side) + CHECKSUM:
            raise ValueError("it is no whole file of decoded images")
        # Mapped privately: whatever writes to the tensor writes to its own copy of the page, never to the file.
        pixels, checksum = _mapped(file, count, side, shared=False)
        if hashlib.sha256(pixels.numpy().data).digest() != checksum.numpy().tobytes():
            raise ValueError("its content has changed")
    except (OSError, ValueError, RuntimeError) as error:  # torch's own, where a file cannot be opened
        _say(f"{file} is done without ({reason(error)}); the images are decoded anew")
        return None
    return pixels


def fill(target: Path, count: int, side: int, pictures: Iterable[Tensor]) -> Tensor:
    """Put decoded images, one by one, into a new file, and map it; memory is used in its place where none can be made.

    Args:
        target: where the file appears when it is whole.
        count: N.
        side: S.
        pictures: N tensors ``(3, S, S)`` uint8.
    """
    half = _reserved(target, _size(count, side) + CHECKSUM)
    if half is None:
        pixels = torch.empty(count, 3, side, side, dtype=torch.uint8)
        _copy(pictures, pixels)
        return pixels
    try:
        shared, checksum = _mapped(half, count, side, shared=True)
        checksum.copy_(torch.frombuffer(_copy(pictures, shared), dtype=torch.uint8))
        pixels, _ = _mapped(half, count, side, shared=False)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    try:
        half.replace(target)
    except OSError as error:  # a folder lies there, or another user's file; what is mapped outlives its name
        half.unlink(missing_ok=True)
        _say(f"the decoded images cannot be kept at {target} ({error.strerror})")
    return pixels


def _copy(pictures: Iterable[Tensor], pixels: Tensor) -> bytearray:
    """Put pictures where they belong, and give their checksum."""
    checksum = hashlib.sha256()
    for slot, picture in zip(pixels, pictures, strict=True):
        slot.copy_(picture)
        checksum.update(slot.numpy().data)
    return bytearray(checksum.digest())


def _reserved(target: Path, size: int) -> Path | None:
    """A new file of some size beside its place; ``None`` where the folder cannot be written or the disk is full."""
    half = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own, since several processes may decode the same images at once.
        with NamedTemporaryFile(dir=target.parent, suffix=".half", delete=False) as file:
            half = Path(file.name)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # writing to a mapped hole on a full disk would be fatal
            else:
                file.truncate(size)
        return half
    except OSError as error:
        if half:
            half.unlink(missing_ok=True)
        _say(f"the decoded images cannot be kept at {target} ({error.strerror}); ATLPA_CACHE names another folder")
        return None


def _size(count: int, side: int) -> int:
    return count * 3 * side**2


def _mapped(file: Path, count: int, side: int, *, shared: bool) -> tuple[Tensor, Tensor]:
    """The images of a file, and the checksum behind them."""
    size = _size(count, side)
    whole = torch.from_file(str(file), shared=shared, size=size + CHECKSUM, dtype=torch.uint8)
    return whole[:size].view(count, 3, side, side), whole[size:]


def _say(problem: str) -> None:
    print(one_line(problem), file=sys.stderr)
