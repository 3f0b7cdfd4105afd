"""Names that strangers chose: shown in a line, kept in any file, and never leading outside."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What moves a terminal's cursor, ends a line, or is no character: a byte of a name that is not UTF-8."""

LONGEST = 255
"""Bytes of one part of a path, on nearly every file system."""


def readable(name: str) -> str:
    """A name as it may be written anywhere: what would move the cursor or is not UTF-8, as ``\\n`` or ``\\udcff``."""
    return _UNWRITABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def inside(name: str) -> PurePosixPath:
    """A relative path that a stranger wrote down, which stays below wherever it is put, on every system.

    Raises:
        ValueError: it would leave, or cannot be the name of a file.
    """
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or not place.parts:
        raise ValueError("it would lie outside")
    if readable(name) != name or re.search(r'[\\:*?"<>|]', name):
        raise ValueError("it is no name on every system")
    if max(len(part.encode()) for part in place.parts) > LONGEST or len(name.encode()) > 4 * LONGEST:
        raise ValueError("it is too long")
    return place
