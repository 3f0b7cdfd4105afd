"""Activations whose lines are closer than constants."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from atlpa.bounds.interval import Interval
from atlpa.bounds.operations import Activation


class Rectifier(Activation):
    """max(x, a x), a ReLU at a = 0 and a leaky one above, with the lines of CROWN (Zhang et al. 2018, §3.3).

    Above it is the chord; below, where the sign is open, the identity if the upper bound is the farther one, else a x:
    whichever leaves the smaller area.

    Args:
        negative_slope: a, in [0, 1].
    """

    def __init__(self, negative_slope: float = 0.0) -> None:
        super().__init__(lambda x: F.leaky_relu(x, negative_slope))
        self.negative_slope = negative_slope

    def lines(self, box: Interval) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        lower, upper = box
        one, flat = torch.ones_like(lower), torch.full_like(lower, self.negative_slope)
        open_sign, nothing = self.loose(box), torch.zeros_like(lower)
        decided = torch.where(lower >= 0, one, flat)
        rise = upper - self.function(lower)  # where the sign is open, f(u) is u
        chord = torch.where(open_sign, rise / torch.where(open_sign, upper - lower, one), decided)
        below = torch.where(open_sign, torch.where(upper > -lower, one, flat), decided)
        return below, nothing, chord, torch.where(open_sign, (one - chord) * upper, nothing)

    def loose(self, inputs: Interval) -> Tensor:
        return (inputs.lower < 0) & (inputs.upper > 0)


class Sigmoidal(Activation):
    """A rising function whose slope rises up to a point and falls from there, as of the sigmoid and tanh.

    Between two points it is nowhere flatter than at one of them; the lines of that slope through both ends bound it.

    Args:
        function: the activation.
        slope: its derivative.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> None:
        super().__init__(function)
        self.slope = slope

    def lines(self, box: Interval) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        slope = torch.minimum(self.slope(box.lower), self.slope(box.upper))
        below, above = (self.function(end) - slope * end for end in box)
        return slope, below, slope, above


def sigmoid() -> Sigmoidal:
    """The logistic function."""
    return Sigmoidal(torch.sigmoid, lambda x: torch.sigmoid(x) * torch.sigmoid(-x))


def tanh() -> Sigmoidal:
    """The hyperbolic tangent."""
    return Sigmoidal(torch.tanh, lambda x: 1 / torch.cosh(x).square())
