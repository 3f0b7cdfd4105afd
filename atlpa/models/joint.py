"""Several networks as one, to be attacked jointly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Joint(nn.Module):
    """Gives the mean of several networks' logits: an ensemble fused in logits (Dong et al. 2018).

    What fools all of them is likelier to fool a network that none of them is (Liu et al. 2017).

    Args:
        networks: each images → logits, of one task; modules or other callables.
    """

    def __init__(self, networks: Sequence[Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self._names = [f"network{number}" for number in range(len(networks))]
        for name, network in zip(self._names, networks, strict=True):
            setattr(self, name, network)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` to the mean logits ``(B, C)``."""
        return torch.stack([getattr(self, name)(images) for name in self._names]).mean(dim=0)
