"""Random resizing and padding before a network (Xie et al. 2017), at inference alone."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from atlpa.component import Component
from atlpa.engine import at_least_float32
from atlpa.field_types import Number
from atlpa.randomness import Generators, sample


class RandomResize(Component):
    """Resizes each image to a random side in [S, P) and pads it to P×P with zeros, at a random place.

    It works on normalized images, where zero is the mean color. The source's S = 299 and P = 331 scale with the image:
    P = round(S · ratio), at least S + 1.

    Fields:
        ratio: P / S. Default: the source's 331 over 299.
    """

    ratio: Annotated[Number, Field(gt=1, le=2)] = 331 / 299

    def side(self, size: int) -> int:
        """P, the side of the padded images, for images of side S."""
        return max(size + 1, round(size * self.ratio))

    def __call__(self, images: Tensor, generators: Generators = None) -> Tensor:
        """Square images ``(B, C, S, S)`` to ``(B, C, P, P)``; every image has its own side and place.

        Args:
            images: normalized.
            generators: one for the batch, one for each image, or torch's global one.

        Raises:
            ValueError: the images are not square.
        """
        size = images.shape[-1]
        if images.shape[-2] != size:
            raise ValueError(f"images of {images.shape[-2]}×{size}; random resizing takes square ones")
        side = self.side(size)
        chances = sample(images.new_empty(len(images), 3), torch.rand, generators).double()
        sides = size + (chances[:, 0] * (side - size)).long()
        places = (chances[:, 1:] * (side - sides + 1)[:, None]).long()
        # Half precision could not tell one pixel of a large image from the next.
        pixels = at_least_float32(images)
        rows, columns = (_seen(size, sides.to(pixels.dtype), places[:, axis], side) for axis in (0, 1))
        grid = torch.stack([columns[:, None, :].expand(-1, side, -1), rows[:, :, None].expand(-1, -1, side)], dim=3)
        return F.grid_sample(pixels, grid, mode="nearest", align_corners=False).to(images.dtype)


def _seen(size: int, sides: Tensor, starts: Tensor, side: int) -> Tensor:
    """Along one axis, where in each image of S pixels every place of its frame looks, ``(B, P)``.

    Args:
        size: S.
        sides: ``(B,)``, of the resized images (nearest neighbor, as in the source's code), in the images' type.
        starts: ``(B,)``, their first places in the frame.
        side: P.

    Returns:
        Centers of pixels in units of half of S, from the image's middle; far outside where there are only zeros.
    """
    place = torch.arange(side, device=sides.device) - starts[:, None]
    # Rounded as in torch's own resizing: the quotient in the images' type, what is floored in float32.
    nearest = (place * (torch.full_like(sides, size) / sides)[:, None]).float().floor().to(sides.dtype)
    return torch.where((place >= 0) & (place < sides[:, None]), (2 * nearest + 1) / size - 1, -3)
