"""How the learning rate, or the attack's ε, moves over a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from atlpa.component import Component
from atlpa.field_types import FromList, Number

FIRST, LAST = 1 / 25, 1 / 25e4
"""Where one cycle starts and ends, as shares of the peak: the values of torch's ``OneCycleLR``."""

ONE_CYCLE_WARMUP = 0.3


class Schedule(Component):
    """A value's course over a run, in shares of its peak. A pure function of the step, so that nothing of it is saved.

    Fields:
        shape: what follows the warm-up: ``constant``; ``step``, a tenth after each share in ``decay_at``; ``cosine``,
            half a wave down to 0; ``one_cycle`` (Smith 2018), half a wave up from 1/25 and half a wave down to 4e-6.
            Default: DELTA's.
        warmup: the share of the iterations that leads up to the peak, in a straight line, or in half a wave with
            ``one_cycle``; by default none, with ``one_cycle`` 0.3.
        decay_at: for ``step``: after which shares of the iterations; by default ⅔.
    """

    shape: Literal["constant", "step", "cosine", "one_cycle"] = "step"
    warmup: Annotated[Number, Field(ge=0)] | None = None
    decay_at: Annotated[tuple[Annotated[Number, Field(gt=0, lt=1)], ...], FromList] | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        fields = super().__get_pydantic_json_schema__(core, handler)
        shapes = handler.resolve_ref_schema(fields)["properties"]["shape"]["enum"]
        return {"anyOf": [{"enum": shapes}, fields]}

    @model_validator(mode="before")
    @classmethod
    def _by_shape(cls, values: Any) -> Any:
        """A shape alone is a schedule."""
        return {"shape": values} if isinstance(values, str) else values

    @model_validator(mode="after")
    def _must_make_sense(self) -> Schedule:
        if self.rise >= 1:
            raise ValueError(
                f"a warm-up of {self.rise:g} is longer than the run; it is a share of the iterations, below 1"
            )
        if self.decay_at is not None and self.shape != "step":
            raise ValueError(f"decay_at has no meaning for shape {self.shape}; leave it out, or use shape: step")
        # Said in full, so that a default and what it stands for are the same schedule.
        object.__setattr__(self, "warmup", self.rise)
        object.__setattr__(self, "decay_at", self.drops if self.shape == "step" else None)
        if early := [share for share in self.drops if share <= self.rise]:
            raise ValueError(f"decay_at {early[0]:g} is within the warm-up, which ends at {self.rise:g}")
        return self

    @property
    def rise(self) -> float:
        """The share of the iterations that leads up to the peak."""
        if self.warmup is None:
            return ONE_CYCLE_WARMUP if self.shape == "one_cycle" else 0.0
        return self.warmup

    @property
    def drops(self) -> tuple[float, ...]:
        """After which shares of the iterations a step schedule falls."""
        return () if self.shape != "step" else (2 / 3,) if self.decay_at is None else self.decay_at

    def at(self, step: int, iterations: int) -> float:
        """The share of the peak at a step, counted from 0, of a run of so many."""
        if self.shape == "one_cycle":
            # The peak is the last step of the rise, the lowest value that of the run.
            peak, end = self.rise * iterations - 1, iterations - 1
            if step <= peak:
                return _wave(FIRST, 1.0, step / peak if peak > 0 else 1.0)
            return _wave(1.0, LAST, (step - peak) / (end - peak))
        rise = self.rise * iterations
        if step < rise:
            return min(1.0, (step + 1) / rise)
        if self.shape == "cosine":
            return _wave(1.0, 0.0, (step - rise) / (iterations - rise))
        return float(0.1 ** sum(step >= share * iterations for share in self.drops))


def _wave(start: float, end: float, share: float) -> float:
    """Half a cosine wave from ``start`` to ``end``."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def rising(values: Any) -> Any:
    """The fields of a schedule of ε, which stays at its peak where no shape is given."""
    return {"shape": "constant", **values} if isinstance(values, Mapping) else values


def with_schedule(values: Any) -> Any:
    """A recipe's fields as they were when ``decay_at`` stood among them, as they are now."""
    if not isinstance(values, Mapping) or "decay_at" not in values:
        return values
    values = dict(values)
    decay_at, given = values.pop("decay_at"), values.get("schedule", {})
    if given == {} or given in ("step", {"shape": "step"}):
        return {**values, "schedule": {"shape": "step", "decay_at": decay_at}}
    raise ValueError("decay_at and schedule are given; decay_at belongs into schedule, as {shape: step, decay_at: …}")
