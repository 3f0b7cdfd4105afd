"""Adversarial images as files of 8-bit pixels would hold them, still within ε."""

from __future__ import annotations

import torch
from torch import Tensor

from atlpa.evaluation.attack_result import ROUNDING

LEVELS = 255


def eight_bit(adversarial: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """The nearest multiples of 1/255 that lie in [x₀ − ε, x₀ + ε] ∩ [0, 1].

    Cutting off what is behind the point instead would take up to a level from every pixel; rounding alone may leave
    the ε-ball by half a level.

    Args:
        adversarial: ``(B, 3, H, W)``, within ε of the images.
        images: likewise, x₀; any floats in [0, 1].
        epsilon: ε.

    Raises:
        ValueError: no such multiple is near enough to some pixel.
    """
    near = LEVELS * ROUNDING
    low = (LEVELS * (images - epsilon).clamp(min=0) - near).ceil()
    high = (LEVELS * (images + epsilon).clamp(max=1) + near).floor()
    # The ball is as wide as the way from one level to the next wherever 2ε ≥ 1/255.
    if 2 * epsilon * LEVELS < 1 and bool((low > high).any()):
        raise ValueError(
            f"ε {epsilon:g} holds no 8-bit value around some pixels, which are no multiples of 1/255 themselves; give "
            f"8-bit images, or an ε of at least {1 / (2 * LEVELS):.4f}"
        )
    return torch.clamp((LEVELS * adversarial).round(), low, high) / LEVELS
