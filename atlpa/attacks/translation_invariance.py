"""Translation invariance (Dong et al. 2019): a gradient smoothed as if the image had been shifted by a few pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

DEVIATIONS = 3
"""How many standard deviations lie between the middle of the kernel and its outermost pixel."""


def smoothed(gradient: Tensor, kernel: int) -> Tensor:
    """A gradient convolved with a Gaussian whose weights sum to 1; beyond the image it is zero.

    A Gaussian is a product of one for rows and one for columns, which are cheaper than the square of both.

    Args:
        gradient: ``(B, C, H, W)``.
        kernel: side of the kernel in pixels, odd; 1 changes nothing.
    """
    if kernel == 1:
        return gradient
    places = torch.linspace(-DEVIATIONS, DEVIATIONS, kernel, dtype=gradient.dtype, device=gradient.device)
    weights = (-(places**2) / 2).softmax(dim=0).expand(gradient.shape[1], 1, 1, -1)
    reach, channels = kernel // 2, gradient.shape[1]
    across = F.conv2d(gradient, weights, padding=(0, reach), groups=channels)
    return F.conv2d(across, weights.transpose(2, 3), padding=(reach, 0), groups=channels)
