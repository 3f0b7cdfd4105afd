"""Decoded images kept on disk: a memory-mapped uint8 file, named after the content of what it was made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from torch import Tensor

FORMAT = "1"  # to be raised when decoding or resizing changes


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
    """The decoded images ``(N, 3, S, S)`` uint8, mapped into memory; ``None`` if the file is not there or not whole."""
    try:
        if file.stat().st_size != count * 3 * side**2:
            return None
    except OSError:
        return None
    # Mapped privately: whatever writes to the tensor writes to its own copy of the page, never to the file.
    return _mapped(file, count, side, shared=False)


def fill(target: Path, count: int, side: int, pictures: Iterable[Tensor]) -> Tensor:
    """Put decoded images, one by one, into a new file, and map it; memory is used in its place where none can be made.

    Args:
        target: where the file appears when it is whole.
        count: N.
        side: S.
        pictures: N tensors ``(3, S, S)`` uint8.
    """
    half = _reserved(target, count * 3 * side**2)
    pixels = _mapped(half, count, side, shared=True) if half else torch.empty(count, 3, side, side, dtype=torch.uint8)
    try:
        for slot, picture in zip(pixels, pictures, strict=True):
            slot.copy_(picture)
        if half:
            half.replace(target)
    except BaseException:
        if half:
            half.unlink()
        raise
    return _mapped(target, count, side, shared=False) if half else pixels


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
    except OSError:
        if half:
            half.unlink(missing_ok=True)
        return None


def _mapped(file: Path, count: int, side: int, *, shared: bool) -> Tensor:
    size = count * 3 * side**2
    return torch.from_file(str(file), shared=shared, size=size, dtype=torch.uint8).view(count, 3, side, side)
