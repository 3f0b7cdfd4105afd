"""Boxes carried forward through a network, and linear functions carried back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from atlpa.bounds.interval import Interval
from atlpa.bounds.operations import Operation

ELEMENTS = 2**22
"""Of the coefficients of one layer that are in memory at a time: 32 MB in float64."""


@dataclass(frozen=True)
class Value:
    """What an operation gives, as its box, ``(B, ...)``.

    Fields:
        place: among the values of a network.
        operation: that gives it; ``None`` of the images.
        inputs: the places of what that reads.
        free: whether its numbers take any values of the box, each whatever the others are.
        settled: whether linear functions would give no closer box.
    """

    place: int
    box: Interval
    operation: Operation | None = None
    inputs: tuple[int, ...] = ()
    free: bool = False
    settled: bool = False


class Propagation:
    """The values of a network over a box of images, each bounded as it is made.

    Args:
        box: the images.
        backward: whether boxes that matter to what follows are made closer by linear functions, as CROWN does; else
            they are those of interval arithmetic (Gowal et al. 2018).
    """

    def __init__(self, box: Interval, *, backward: bool) -> None:
        self.backward = backward
        self.values = [Value(0, box, free=True, settled=True)]

    def apply(self, operation: Operation, *inputs: Value) -> Value:
        """What an operation gives for some values."""
        if self.backward and not operation.affine:
            inputs = tuple(self._closer(value, operation) for value in inputs)
        box = operation.forward(*(value.box for value in inputs))
        places, first = tuple(value.place for value in inputs), inputs[0]
        free = len(inputs) == 1 and operation.single and first.free
        settled = len(inputs) == 1 and ((operation.single and first.settled) or (operation.affine and first.free))
        self.values.append(Value(len(self.values), box, operation, places, free, settled))
        return self.values[-1]

    def lowest(self, value: Value, rows: Tensor, images: Tensor, *, through: bool) -> Tensor:
        """Lower bounds of linear functions of a value, ``(R,)``.

        Args:
            value: of what.
            rows: the coefficients, ``(R, ...)``.
            images: of which image each is, ``(R,)``.
            through: whether they go back through what is not affine, all the way to the images; else they end at the
                boxes of what is not.
        """
        pending, bound = {value.place: rows}, rows.new_zeros(len(rows))
        for place in range(value.place, -1, -1):
            if place not in pending:
                continue
            rows, here = pending.pop(place), self.values[place]
            if here.operation is None or not (through or here.operation.affine):
                bound = bound + here.box.lowest(rows, images)
                continue
            boxes = [self.values[one].box for one in here.inputs]
            parts, added = here.operation.backward(rows, images, boxes)
            bound = bound + added
            for one, part in zip(here.inputs, parts, strict=True):
                pending[one] = pending[one] + part if one in pending else part
        return bound

    def portions(self, value: Value, *columns: Tensor) -> Sequence[tuple[Tensor, ...]]:
        """Some columns ``(R,)`` that describe rows of a value, in parts whose rows fit into memory."""
        widest = max(one.box.lower[0].numel() for one in self.values[: value.place + 1])
        return list(zip(*(torch.split(column, max(1, ELEMENTS // widest)) for column in columns), strict=True))

    def _closer(self, value: Value, reader: Operation) -> Value:
        """A value with a closer box where that matters to what reads it."""
        value = self.values[value.place]  # which another reader may have made closer
        images, *places = loose = reader.loose(value.box).nonzero(as_tuple=True)
        if value.settled or not len(images):
            return value
        lower, upper = (end.clone() for end in value.box)
        shape = lower.shape[1:]
        flat = torch.arange(shape.numel(), device=lower.device).view(shape)[tuple(places)]
        below, above = [], []
        for few, numbers in self.portions(value, images, flat):
            rows = lower.new_zeros(len(few), shape.numel())
            rows[torch.arange(len(few), device=rows.device), numbers] = 1
            rows = rows.view(-1, *shape)
            below.append(self.lowest(value, rows, few, through=True))
            above.append(-self.lowest(value, -rows, few, through=True))
        lower[loose] = torch.maximum(lower[loose], torch.cat(below))
        upper[loose] = torch.minimum(upper[loose], torch.cat(above))
        self.values[value.place] = replace(value, box=Interval(lower, upper), settled=True)
        return self.values[value.place]
