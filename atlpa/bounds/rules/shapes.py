"""What joins, moves, averages or leaves numbers as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from atlpa.bounds.operations import Affine
from atlpa.bounds.propagation import Value
from atlpa.bounds.rules.made import Made, NoBound


def cat(values: Sequence[Any], dim: int = 0) -> Made:
    """Values side by side, in any dimension but that of the batch."""
    if not all(isinstance(value, Value) for value in values) or dim % values[0].box.lower.ndim == 0:
        raise NoBound("what is joined with constants, or over images")
    return Affine(lambda *parts: torch.cat(parts, dim)), values


def shaped(function: Callable[..., Tensor], x: Value, *arguments: Any, **options: Any) -> Made:
    """The same numbers in the same order in another shape, in which images stay the first dimension."""
    before = x.box.lower
    after = function(before, *arguments, **options)
    if after.shape[:1] != before.shape[:1] or after.numel() != before.numel():
        raise NoBound(f"a change of shape from {tuple(before.shape)} to {tuple(after.shape)}")
    return Affine(lambda x: x.reshape(-1, *after.shape[1:]), single=True), [x]


def within(function: Callable[..., Tensor], x: Value, *arguments: Any, **options: Any) -> Made:
    """Means, sums or some of an image's own numbers, or their order: no weight is negative."""

    def weigh(x: Tensor) -> Tensor:
        return function(x, *arguments, **options)

    shapes = [weigh(x.box.lower.new_zeros(count, *x.box.lower.shape[1:])).shape for count in (1, 2)]
    if [*shapes[0][:1], *shapes[1][:1]] != [1, 2] or shapes[0][1:] != shapes[1][1:]:
        raise NoBound("what mixes or picks images")
    return Affine(weigh), [x]


def padded(x: Value, pad: Any, mode: str = "constant", value: float | None = None) -> Made:
    """A map with a margin of zeros, or of its own numbers."""
    if value:
        raise NoBound(f"a margin of {value:g}")
    return within(F.pad, x, pad, mode)


def dropout(x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Made:
    """Nothing in evaluation mode."""
    del p, inplace
    if training:
        raise NoBound("draws in evaluation mode")
    return x


def cast(x: Value, *arguments: Any, **options: Any) -> Made:
    """Another device or precision, of which bounds know nothing, but none that is coarse."""
    given = [*arguments, *options.values()]
    if any(isinstance(one, torch.dtype) and one not in (torch.float32, torch.float64) for one in given):
        raise NoBound("numbers that are rounded")
    return x


def same(x: Value, *_options: Any, **_more: Any) -> Made:
    """What leaves values as they are in evaluation mode."""
    return x
