"""A randomized network whose prediction is the mean over several draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Averaged(nn.Module):
    """Predicts with the mean of a randomized network's class probabilities over K draws.

    Args:
        model: images to logits, with random layers.
        draws: K.
    """

    def __init__(self, model: nn.Module, draws: int) -> None:
        super().__init__()
        self.model, self.draws = model, draws

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` to the logarithms of the mean probabilities ``(B, C)``, which serve as logits."""
        predictions = [self.model(images).log_softmax(dim=1) for _ in range(self.draws)]
        return torch.stack(predictions).logsumexp(dim=0) - math.log(self.draws)
