"""Decoded images kept on disk: a memory-mapped uint8 file, named after the content of what it was made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
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
    size = count * 3 * side**2
    try:
        if file.stat().st_size != size:
            return None
    except OSError:
        return None
    # Mapped privately: whatever writes to the tensor writes to its own copy of the page, never to the file.
    return torch.from_file(str(file), shared=False, size=size, dtype=torch.uint8).view(count, 3, side, side)


def write(target: Path, pixels: Tensor) -> None:
    """Keep decoded images; a cache that cannot be written is done without."""
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own, since several processes may decode the same images at once.
        with NamedTemporaryFile(dir=target.parent, suffix=".half", delete=False) as file:
            half = Path(file.name)
        try:
            pixels.numpy().tofile(half)
            half.replace(target)
        except BaseException:
            half.unlink()
            raise
