"""What records may say: kinds of values, and fields that agree with each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from atlpa.component import Component
from atlpa.errors import one_line
from atlpa.field_types import FromList

Line = Annotated[str, AfterValidator(one_line)]
"""A text that tables, pages and terminals show: one printable line, whatever a class or a folder is called."""

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal."""

LARGEST_COUNT = 2**53
"""What a float holds exactly."""

Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
"""At least one."""

Number = Annotated[float, Field(ge=-3.5e38, le=3.5e38)]
"""What was computed in float32."""

Seconds = Annotated[float, Field(ge=0)]
"""How long something took."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, or a distance between images in units of the [0, 1] pixel range."""


LARGEST_LENGTH = 1e6
"""A bound of ‖δ‖₂: of an image of 10¹² pixels from black to white."""

Length = Annotated[float, Field(ge=0, le=LARGEST_LENGTH)]
"""A distance between images in L2, in units of the [0, 1] pixel range; or in L∞, where it is at most 1."""

Places = Annotated[tuple[Annotated[int, Field(ge=0)], ...], FromList]
"""Where some images are in the data, counted from 0."""


class Checked(Component):
    """A component whose fields must agree with each other: whatever it says twice, it says alike."""

    def contradictions(self) -> Iterator[str]:
        """What does not agree, a line each; a single one is enough to refuse it."""
        yield from ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for problem in self.contradictions():
            raise ValueError(problem)
        return self


def as_lines(value: Any) -> Any:
    """Plain values with every text among them as a line."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {as_lines(key): as_lines(inner) for key, inner in value.items()}
    return [as_lines(inner) for inner in value] if isinstance(value, list) else value
