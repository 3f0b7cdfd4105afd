"""The one recipe by which files are named after all that determines them."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(content: Any, length: int = 64, *, sort_keys: bool = True) -> str:
    """SHA-256 of plain values (mappings, lists, texts, numbers, ``None``), in hexadecimal.

    What is on record is found again by this, so that it must never change.

    Args:
        content: what JSON can hold.
        length: how many of the 64 digits.
        sort_keys: whether the order of keys is of no matter.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=sort_keys).encode()).hexdigest()[:length]
