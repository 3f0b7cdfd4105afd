"""Square windows of images, for each image its own, as the Square attack changes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# After each of these shares of all queries the squares shrink, as in the original (after 10, 50, 200, … of 10000).
_SHRINK_AFTER = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_FIRST_AREA = 0.8


def sides(query: Tensor, queries: int, images: Tensor) -> Tensor:
    """The side ``(B,)`` of the square of each image's query ``(B,)``, in pixels, of so many queries in all."""
    shares = query[:, None] / queries > torch.tensor(_SHRINK_AFTER, device=query.device)
    rows, columns = images.shape[2:]
    area = _FIRST_AREA / 2 ** shares.sum(dim=1).double() * rows * columns
    return area.sqrt().round().clamp(1, min(rows, columns))


@dataclass(frozen=True)
class Windows:
    """A square window of each image.

    Fields:
        down: ``(B, H)``, how far below the window's first row each row lies.
        across: ``(B, W)``, how far to the right of its first column each column lies.
        side: ``(B,)``, of the square.
    """

    down: Tensor
    across: Tensor
    side: Tensor

    @classmethod
    def at(cls, place: Tensor, side: Tensor, images: Tensor) -> Windows:
        """Windows at places that two numbers in [0, 1) for each image say, ``(B, 2)``."""
        found = []
        for axis, length in enumerate(images.shape[2:]):
            first = (place[:, axis] * (length - side + 1)).floor()[:, None]
            found.append(torch.arange(length, device=images.device)[None] - first)
        return cls(found[0], found[1], side)

    @property
    def inside(self) -> Tensor:
        """Which pixels ``(B, 1, H, W)`` they hold."""
        rows, columns = ((along >= 0) & (along < self.side[:, None]) for along in (self.down, self.across))
        return rows[:, None, :, None] & columns[:, None, None, :]
