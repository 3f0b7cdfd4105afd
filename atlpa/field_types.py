"""Types of fields that YAML files can hold: numbers that may be fractions, distances of pixels, names, paths."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from atlpa.editors import Told
from atlpa.errors import shown, writable

_NUMBER = re.compile(r"(?P<over>[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?)(/(?P<under>[0-9]+))?", re.IGNORECASE)


def parse_number(value: Any) -> Any:
    """Read ``"64/256"`` and ``"1e-4"`` (which YAML takes for text) as numbers; leave anything else as it is.

    Raises:
        ValueError: a text that is no number, or one that a float would round to infinity or to 0.
    """
    if not isinstance(value, str):
        return value
    found = _NUMBER.fullmatch(value.replace(" ", "")) if len(value) <= 40 else None
    over, under = (found["over"], float(found["under"] or 1)) if found else ("", 0.0)
    number = float(over) / under if under else math.inf
    zero = not number and re.search("[1-9]", over.lower().partition("e")[0])
    if zero or not math.isfinite(number):
        raise ValueError(f"{shown(value)} is no number; write 0.25 or 64/256")
    return number


def _in_pixel_range(value: float) -> float:
    if not 0 <= value <= 1:
        hint = f"; write {value:g}/255" if 1 < value <= 255 else ""
        raise ValueError(f"{value:g} is outside [0, 1]: distances are in units of the [0, 1] pixel range{hint}")
    return value


def _at_least_zero(value: float) -> float:
    if not value >= 0:
        raise ValueError(f"{value:g} is below 0, and a distance is not")
    return value


def written(distance: float) -> str:
    """A distance as people write it: ``0.25``, and ``8/255`` where no short decimal is that number."""
    short, levels = f"{distance:.4g}", 255 * distance
    whole = abs(levels - round(levels)) < 1e-9
    return f"{round(levels)}/255" if whole and float(short) != distance else short


Number = Annotated[
    float,
    BeforeValidator(parse_number),
    Told(
        type=["number", "string"], pattern=r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?(\s*/\s*[0-9]+)?\s*$"
    ),
]
"""A float that may be written as a fraction."""

PixelDistance = Annotated[Number, AfterValidator(_in_pixel_range), Told(minimum=0, maximum=1)]
"""A distance between images in units of the [0, 1] pixel range; may be written ``64/256``."""

Radius = Annotated[Number, AfterValidator(_at_least_zero), Told(minimum=0)]
"""The same in whichever norm its owner has; in L2 it may be above 1 (see ``check_pixel_range``)."""


def check_pixel_range(owner: object, *names: str) -> None:
    """Refuse fields that no L∞ distance between images can be.

    Raises:
        ValidationError: one of them is above 1; it bears the field's name, as if the field's own type had refused it.
    """
    for name in names:
        value = getattr(owner, name)
        try:
            _in_pixel_range(value)
        except ValueError as error:
            wrong = PydanticCustomError("value_error", "{problem}", {"problem": str(error)})
            title = type(owner).__name__
            raise ValidationError.from_exception_data(
                title, [{"type": wrong, "loc": (name,), "input": value}]
            ) from error


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-][A-Za-z0-9_.+-]*$", max_length=80)]
"""What a folder or a row is called: no path, and nothing hidden."""


Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""Of everything random."""


def _possible(path: str) -> str:
    if not writable(path):
        raise ValueError(f"{shown(path)} cannot be written down; a path must be text in UTF-8, without NUL")
    return path


PathText = Annotated[str, AfterValidator(_possible)]
"""A path, which experiment.yaml and records can hold."""


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


FromList = BeforeValidator(_tuple)
"""Lets a tuple field be written as a YAML list, which strict validation would refuse."""
