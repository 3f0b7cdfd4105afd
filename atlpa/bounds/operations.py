"""What a network is made of, as bounds see it: forward, from box to box; and backward, by linear functions.

B is the number of images, R that of rows: a row is a linear function of what one image gives at some layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from atlpa.bounds.interval import Interval


class Operation(ABC):
    """One node of a network's graph.

    Fields:
        affine: whether it is bounded backward without loss.
        single: whether each of its numbers depends on one number alone, of its only input.
    """

    affine: ClassVar[bool] = False
    single: bool = False

    @abstractmethod
    def forward(self, *inputs: Interval) -> Interval:
        """The box of outputs over a box of inputs."""

    @abstractmethod
    def backward(self, rows: Tensor, images: Tensor, inputs: Sequence[Interval]) -> tuple[Sequence[Tensor], Any]:
        """Linear functions of the inputs that lie below linear functions of the output wherever the inputs may be.

        Args:
            rows: coefficients of the output, ``(R, ...)``.
            images: of which image each row is, ``(R,)``.
            inputs: the boxes of the inputs, of all images.

        Returns:
            The coefficients ``(R, ...)`` of each input, and what is added, ``(R,)`` or 0.
        """

    def loose(self, inputs: Interval) -> Tensor:
        """Which bounds of the input would change the backward functions if they were closer, ``(B, ...)`` bool."""
        return torch.zeros_like(inputs.lower, dtype=torch.bool)


class Affine(Operation):
    """W x + b, in one input or several.

    Args:
        linear: W x, of batches of any size.
        offset: b, without the dimension of the batch; ``None`` for 0.
        magnitude: \\|W\\| x; by default the same as ``linear``, where no entry of W is negative.
        transposed: Wᵀ of rows, given these and the shape of the only input, images aside; by default what autograd
            makes of ``linear``, which computes that too.
        single: see ``Operation``.
    """

    affine = True

    def __init__(
        self,
        linear: Callable[..., Tensor],
        offset: Tensor | None = None,
        magnitude: Callable[..., Tensor] | None = None,
        transposed: Callable[[Tensor, torch.Size], Tensor] | None = None,
        *,
        single: bool = False,
    ) -> None:
        self.linear, self.offset, self.single = linear, offset, single
        self.magnitude, self.transposed = magnitude or linear, transposed

    def forward(self, *inputs: Interval) -> Interval:
        center = self.linear(*(one.center for one in inputs))
        if self.offset is not None:
            center = center + self.offset.to(center)
        radius = self.magnitude(*(one.radius for one in inputs))
        return Interval(center - radius, center + radius)

    def backward(self, rows: Tensor, images: Tensor, inputs: Sequence[Interval]) -> tuple[Sequence[Tensor], Any]:
        del images
        added: Any = 0.0 if self.offset is None else (rows * self.offset.to(rows)).flatten(start_dim=1).sum(dim=1)
        if self.transposed:
            return [self.transposed(rows, inputs[0].lower.shape[1:])], added
        at = [rows.new_zeros(len(rows), *one.lower.shape[1:]) for one in inputs]
        return torch.func.vjp(self.linear, *at)[1](rows), added


class Activation(Operation):
    """A function of each number that nowhere falls.

    Between its values at both ends it is bounded by constants; a subclass knows better lines.
    """

    single = True

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def forward(self, *inputs: Interval) -> Interval:
        (box,) = inputs
        return Interval(self.function(box.lower), self.function(box.upper))

    def lines(self, box: Interval) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Slope and offset of the line below, and of the line above, each ``(B, ...)``."""
        flat = torch.zeros_like(box.lower)
        return flat, self.function(box.lower), flat, self.function(box.upper)

    def backward(self, rows: Tensor, images: Tensor, inputs: Sequence[Interval]) -> tuple[Sequence[Tensor], Any]:
        slope_below, below, slope_above, above = (line[images] for line in self.lines(inputs[0]))
        up, down = rows.clamp(min=0), rows.clamp(max=0)
        added = (up * below + down * above).flatten(start_dim=1).sum(dim=1)
        return [up * slope_below + down * slope_above], added

    def loose(self, inputs: Interval) -> Tensor:
        return inputs.lower < inputs.upper


class MaxPool(Operation):
    """The largest number of each window: at least that with the largest lower bound, at most the largest upper one.

    Args:
        options: of ``torch.nn.functional.max_pool2d``.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def forward(self, *inputs: Interval) -> Interval:
        (box,) = inputs
        return Interval(F.max_pool2d(box.lower, **self.options), F.max_pool2d(box.upper, **self.options))

    def backward(self, rows: Tensor, images: Tensor, inputs: Sequence[Interval]) -> tuple[Sequence[Tensor], Any]:
        (box,) = inputs
        _, winners = F.max_pool2d(box.lower, **self.options, return_indices=True)
        highest = F.max_pool2d(box.upper, **self.options)
        up, down = rows.clamp(min=0), rows.clamp(max=0)
        below = rows.new_zeros(len(rows), *box.lower.shape[1:]).flatten(start_dim=2)
        below = below.scatter_add(2, winners[images].flatten(start_dim=2), up.flatten(start_dim=2))
        return [below.view(-1, *box.lower.shape[1:])], (down * highest[images]).flatten(start_dim=1).sum(dim=1)

    def loose(self, inputs: Interval) -> Tensor:
        return inputs.lower < inputs.upper
