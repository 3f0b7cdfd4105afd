"""What is known of a layer's output: between which two values each of its numbers lies."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Interval(NamedTuple):
    """A lower and an upper bound of each number, ``(B, ...)`` both."""

    lower: Tensor
    upper: Tensor

    @property
    def center(self) -> Tensor:
        """The middle."""
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> Tensor:
        """Half of the width, 0 or more."""
        return (self.upper - self.lower) / 2

    def lowest(self, rows: Tensor, images: Tensor) -> Tensor:
        """The least value of linear functions over the box, ``(R,)``.

        Args:
            rows: the coefficients, ``(R, ...)``.
            images: of which image's numbers each row is, ``(R,)``.
        """
        least = rows.clamp(min=0) * self.lower[images] + rows.clamp(max=0) * self.upper[images]
        return least.flatten(start_dim=1).sum(dim=1)


def pixel_box(images: Tensor, epsilon: float) -> Interval:
    """Every image that is within ε of ``images`` in L∞ and in [0, 1].

    It is wider by what float32 may round ``images ± ε`` to, so that no attack leaves it.
    """
    reach = epsilon + torch.finfo(torch.float32).eps if epsilon else 0.0
    return Interval((images - reach).clamp(min=0), (images + reach).clamp(max=1))
