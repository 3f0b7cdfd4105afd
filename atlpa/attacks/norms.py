"""The norms in which attacks measure how far an image is moved, each as the ball that its ε makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from atlpa.randomness import Generators, sample, uniform

Norm = Literal["Linf", "L2"]
PIXELS = (1, 2, 3)
LOOKS = 6
"""At how many candidates an L2 projection looks for the pixels that [0, 1] stops; each look finds most of them."""


class Ball(ABC):
    """The points within ε of each image of a batch and within [0, 1].

    Args:
        images: ``(B, 3, H, W)`` in [0, 1].
        epsilon: ε of all of them, or of each ``(B,)``.
    """

    def __init__(self, images: Tensor, epsilon: float | Tensor) -> None:
        self.images = images
        self.epsilon = epsilon[:, None, None, None] if isinstance(epsilon, Tensor) else epsilon

    @staticmethod
    @abstractmethod
    def size(change: Tensor) -> Tensor:
        """The norm of each change ``(B, 3, H, W)``, ``(B,)``."""

    @staticmethod
    @abstractmethod
    def ascent(gradient: Tensor) -> Tensor:
        """The change of size 1 that a gradient ``(B, 3, H, W)`` promises most of; none where it is 0."""

    @abstractmethod
    def project(self, points: Tensor) -> Tensor:
        """The nearest points of the ball to some ``(B, 3, H, W)``, which are overwritten."""

    @abstractmethod
    def draw(self, generator: Generators) -> Tensor:
        """Uniformly random points of it, but for those beyond [0, 1], which are projected back."""


class LinfBall(Ball):
    """‖δ‖∞ ≤ ε: a box, of which [0, 1] leaves a box."""

    def __init__(self, images: Tensor, epsilon: float | Tensor) -> None:
        super().__init__(images, epsilon)
        self.low, self.high = (images - self.epsilon).clamp(min=0), (images + self.epsilon).clamp(max=1)

    @staticmethod
    def size(change: Tensor) -> Tensor:
        """The largest change of any pixel, ``(B,)``."""
        return change.abs().amax(dim=PIXELS)

    @staticmethod
    def ascent(gradient: Tensor) -> Tensor:
        """Its sign."""
        return gradient.sign()

    def project(self, points: Tensor) -> Tensor:
        """Each pixel cut to its bounds."""
        return points.clamp_(self.low, self.high)

    def draw(self, generator: Generators) -> Tensor:
        """Each pixel within ±ε."""
        return self.project(self.images + self.epsilon * uniform(self.images, 1, generator))


class L2Ball(Ball):
    """‖δ‖₂ ≤ ε: a sphere with its inside, of which [0, 1] may cut pieces off."""

    @staticmethod
    def size(change: Tensor) -> Tensor:
        """The length of the change, ``(B,)``."""
        length: Tensor = torch.linalg.vector_norm(change, dim=PIXELS)
        return length

    @staticmethod
    def ascent(gradient: Tensor) -> Tensor:
        """The gradient over its length; one so small that its squares would be 0 has a direction too."""
        tiny = torch.finfo(gradient.dtype).tiny
        even = gradient / gradient.abs().amax(dim=PIXELS, keepdim=True).clamp(min=tiny)
        return even / L2Ball.size(even)[:, None, None, None].clamp(min=tiny)

    def project(self, points: Tensor) -> Tensor:
        """The nearest points of sphere and [0, 1] together: x + t·(point − x), cut to [0, 1], with the largest t ≤ 1.

        ‖δ‖² is concave in t² and grows in pieces between the values at which a pixel meets its bound, so that Newton's
        steps from below reach ε² and never pass it.
        """
        change = points - self.images
        squares, within = change.square(), self.epsilon**2
        bounds = torch.where(change > 0, 1 - self.images, self.images).square()
        tiny = torch.finfo(points.dtype).tiny
        share = (within / squares.sum(dim=PIXELS, keepdim=True).clamp(min=tiny)).clamp(max=1)
        for _ in range(LOOKS):
            free = share * squares < bounds
            stopped = bounds.masked_fill(free, 0).sum(dim=PIXELS, keepdim=True)
            moving = squares.masked_fill(~free, 0).sum(dim=PIXELS, keepdim=True).clamp(min=tiny)
            share = ((within - stopped).clamp(min=0) / moving).clamp(max=1)
        return torch.addcmul(self.images, share.sqrt(), change).clamp_(0, 1)

    def draw(self, generator: Generators) -> Tensor:
        """A random direction, and as far along it as the D-th root of a uniform number says, of D pixels."""
        way = self.ascent(sample(self.images, torch.randn, generator))
        far = sample(self.images[:, :1, :1, :1], torch.rand, generator) ** (1 / max(1, self.images[:1].numel()))
        return self.project(self.images + self.epsilon * far * way)


BALLS: Mapping[str, type[Ball]] = {"Linf": LinfBall, "L2": L2Ball}
