"""Random resizing and padding before a network (Xie et al. 2017), at inference alone."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from atlpa.component import Component, Number
from atlpa.randomness import Generators, sample


class RandomResize(Component):
    """Resizes each image to a random side in [S, P) and pads it to P×P with zeros, at a random place.

    It works on normalized images, where zero is the mean color. The source's S = 299 and P = 331 scale with the image:
    P = round(S · ratio), at least S + 1.

    Fields:
        ratio: P / S.
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
        chances = sample(images.new_empty(len(images), 3), torch.rand, generators).cpu().double()
        sides = size + (chances[:, 0] * (side - size)).long()
        places = (chances[:, 1:] * (side - sides + 1)[:, None]).long()
        placed = [
            _placed(image[None], inner, top, left, side)
            for image, inner, (top, left) in zip(images, sides.tolist(), places.tolist(), strict=True)
        ]
        return torch.cat(placed) if placed else images.new_empty(0, images.shape[1], side, side)


def _placed(image: Tensor, inner: int, top: int, left: int, side: int) -> Tensor:
    """One image ``(1, C, S, S)`` at side ``inner`` (nearest neighbor, as in the source's code), zeros around it."""
    resized = F.interpolate(image, size=(inner, inner))
    return F.pad(resized, (left, side - inner - left, top, side - inner - top))
