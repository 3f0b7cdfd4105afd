"""JSON of unknown origin: read as plain values within bounds, or refused in a line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from atlpa.errors import UserError, reason, shown
from atlpa.files import read_text

LARGEST = 256 * 2**20
"""Bytes; a record of a million images takes some."""

DEEPEST = 32
"""Brackets within brackets; records have six."""

LONGEST = 40
"""Digits of an integer."""


def read_json(path: Path, what: str) -> Any:
    """What a file holds.

    Args:
        path: the file.
        what: what it should hold, for the message.

    Raises:
        UserError: it cannot be read, is no JSON, names a key twice, is nested too deeply, or holds a number that is not
            finite or an integer of too many digits.
    """
    try:
        return parse_json(read_text(path, LARGEST))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path} is no readable {what} ({reason(error)})") from error


def parse_json(text: str) -> Any:
    """What a text holds.

    Raises:
        ValueError: as ``read_json`` has it.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_mapping, parse_int=_integer, parse_float=_finite, parse_constant=_finite
        )
    except RecursionError:
        raise ValueError(_DEEP) from None
    if "\\u" in text:
        _check_signs(value)
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for one in level if isinstance(one, dict | list) for inner in _inside(one)]
        if not level:
            return value
    raise ValueError(_DEEP)


def _check_signs(value: Any) -> None:
    """Refuse halves of signs, which JSON can spell and no file can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half a sign (a lone surrogate)") from None
    except RecursionError:
        raise ValueError(_DEEP) from None


_DEEP = f"nested more than {DEEPEST} deep"


def _inside(one: dict[str, Any] | list[Any]) -> Any:
    return one.values() if isinstance(one, dict) else one


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{shown(next(key for key in keys if keys.count(key) > 1))} is there twice")
    return found


def _integer(text: str) -> int:
    if len(text) > LONGEST:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{shown(text)} is no finite number")
    return value
