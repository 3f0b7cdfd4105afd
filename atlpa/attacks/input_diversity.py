"""Input diversity (Xie et al. 2019): the gradient of a slightly smaller, shifted image, which transfers better."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from atlpa.randomness import Generators, sample

SMALLEST = 0.9  # side of the shrunk image, as a share of the whole; the rest of the frame is black


def input_diversity(images: Tensor, probability: float, generators: Generators) -> Tensor:
    """Shrink some of the images to a random size, at a random place of a black frame.

    Args:
        images: ``(B, C, H, W)``.
        probability: of each image to be shrunk.
        generators: where the numbers come from.
    """
    chance, size, across, down = sample(images[:, :1, 0, :1].expand(-1, 4, 1), torch.rand, generators).squeeze(2).T
    side = SMALLEST + (1 - SMALLEST) * size
    room = 1 - side
    # Where each point of the frame lies in the image, in units of half its side.
    to_image = torch.zeros(len(images), 2, 3, dtype=images.dtype, device=images.device)
    to_image[:, 0, 0] = to_image[:, 1, 1] = 1 / side
    to_image[:, 0, 2], to_image[:, 1, 2] = (2 * across - 1) * room / side, (2 * down - 1) * room / side
    grid = F.affine_grid(to_image, list(images.shape), align_corners=False)
    shrunk = F.grid_sample(images, grid, align_corners=False)
    return torch.where((chance < probability)[:, None, None, None], shrunk, images)
