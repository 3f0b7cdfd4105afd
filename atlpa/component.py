"""A component is its own configuration: a frozen, validated value whose fields are its YAML."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from atlpa.errors import unknown_name


class Component(BaseModel):
    """Base of everything a YAML file can describe: immutable, strictly typed, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    raise ValueError(unknown_name("key", str(key), cls.model_fields))
        return values


def parse_number(value: Any) -> Any:
    """Read ``"64/256"`` and ``"1e-4"`` (which YAML takes for text) as numbers; leave anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        if len(value) > 40:
            raise ValueError
        return float(Fraction(value.replace(" ", "")))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{value!r} is no number; write 0.25 or 64/256") from None


def _in_pixel_range(value: float) -> float:
    if not 0 <= value <= 1:
        hint = f"; write {value:g}/256" if 1 < value <= 256 else ""
        raise ValueError(f"{value:g} is outside [0, 1]: distances are in units of the [0, 1] pixel range{hint}")
    return value


Number = Annotated[float, BeforeValidator(parse_number)]
"""A float that may be written as a fraction."""

PixelDistance = Annotated[Number, AfterValidator(_in_pixel_range)]
"""A distance between images in units of the [0, 1] pixel range; may be written ``64/256``."""


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


FromList = BeforeValidator(_tuple)
"""Lets a tuple field be written as a YAML list, which strict validation would refuse."""
