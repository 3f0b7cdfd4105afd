"""Block shuffle and rotation (Wang et al. 2024): an image taken apart, for gradients that do not hang on its layout."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from atlpa.randomness import Generators, sample


def block_shuffle(images: Tensor, blocks: int, degrees: float, generators: Generators) -> Tensor:
    """Cut each image into strips and each strip into blocks, shuffle both, and turn every block about its middle.

    Whether the strips are rows or columns is drawn too. Their sizes differ up to twofold; the paper says only that they
    are random. What is turned out of its block is lost, and black comes in its place. An image is sampled once, through
    a grid that says for each of its pixels where it comes from.

    Args:
        images: ``(B, C, H, W)``.
        blocks: strips of an image, and blocks of a strip.
        degrees: the largest angle, either way, of which each block draws its own uniformly.
        generators: where the numbers come from.
    """
    (count, _, height, width), n = images.shape, blocks
    drawn = sample(images.new_empty(count, 1 + 2 * n + 3 * n * n), torch.rand, generators)
    in_rows, of_strips, of_blocks = drawn[:, :1] < 0.5, drawn[:, 1 : 1 + 2 * n], drawn[:, 1 + 2 * n :]
    size, rank = of_strips.reshape(count, 2, n).unbind(dim=1)
    sizes, ranks, angle = (
        numbers.reshape(count * n, n) for numbers in of_blocks.reshape(count, 3, n * n).unbind(dim=1)
    )
    rows, columns = (torch.arange(side, device=images.device, dtype=images.dtype) for side in (height, width))
    down, right = (grid.flatten() for grid in torch.meshgrid(rows, columns, indexing="ij"))
    across, along = torch.where(in_rows, down, right), torch.where(in_rows, right, down)  # the strips, (B, H·W)
    thickness = torch.where(in_rows, height, width)
    image = torch.arange(count, device=images.device)[:, None].expand_as(across)
    strip = _cut(thickness, size, rank).at(image, across)
    row = image * n + strip.number
    block = _cut((height + width - thickness).repeat_interleave(n, dim=0), sizes, ranks).at(row, along)
    turn = math.radians(degrees) * (2 * angle[row, block.number] - 1)
    cosine, sine = turn.cos(), turn.sin()
    u, v = cosine * strip.offset - sine * block.offset, sine * strip.offset + cosine * block.offset
    inside = (u.abs() <= strip.length / 2) & (v.abs() <= block.length / 2)
    u, v = strip.middle + u, block.middle + v
    x, y = torch.where(in_rows, v, u), torch.where(in_rows, u, v)
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1).view(count, height, width, 2)
    shown: Tensor = F.grid_sample(images, grid, align_corners=False)
    return shown * inside.view(count, 1, height, width)


class Places(NamedTuple):
    """Pixels ``(B, P)`` in the piece that each comes from.

    Fields:
        number: of the piece, in the order in which pieces lie now.
        offset: of the pixel from the middle of its piece.
        middle: of the piece, where it comes from.
        length: of the piece.
    """

    number: Tensor
    offset: Tensor
    middle: Tensor
    length: Tensor


class Cut(NamedTuple):
    """Lines ``(R, n)`` cut into n pieces and put together anew, each in the order in which the pieces lie now.

    Fields:
        ends: where a piece ends now.
        middles: of the pieces, where they come from.
        lengths: of the pieces.
    """

    ends: Tensor
    middles: Tensor
    lengths: Tensor

    def at(self, line: Tensor, place: Tensor) -> Places:
        """Where pixels come from, by the number of their line and their place in it, both ``(B, P)``."""
        number = (place[..., None] >= self.ends[line]).sum(dim=-1)
        end, middle, length = (table[line, number] for table in self)
        return Places(number, place - end + (length + 1) / 2, middle, length)


def _cut(side: Tensor, size: Tensor, rank: Tensor) -> Cut:
    """Lines of some length ``(R, 1)``, cut and shuffled by numbers ``(R, n)`` between 0 and 1."""
    ends = (side * (1 + size).cumsum(dim=1) / (1 + size).sum(dim=1, keepdim=True)).round()
    lengths = ends.diff(dim=1, prepend=torch.zeros_like(ends[:, :1]))
    middles, order = ends - (lengths + 1) / 2, rank.argsort(dim=1)
    lengths = lengths.gather(1, order)
    return Cut(lengths.cumsum(dim=1), middles.gather(1, order), lengths)
