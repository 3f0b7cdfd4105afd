"""Networks that hide nothing, on digits; made when asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor, nn

from atlpa.attacks import PGD
from tests.gallery.training import CLASSES, EPSILON, SIDE, alp, convolutions, on_adversarial, trades, train

ATTACK = PGD(EPSILON, EPSILON / 2, 3, start="uniform", engine="reference")
BELIEVING = PGD(EPSILON, EPSILON / 2, 3, start="gaussian", loss="kl", engine="reference")

GENTLE = replace(ATTACK, epsilon=EPSILON / 3, step=EPSILON / 6)
"""What a small transformer learns under; of larger changes it learns nothing."""


@cache
def undefended() -> nn.Module:
    """Ordinary training."""
    return train(convolutions)


@cache
def pgd_trained() -> nn.Module:
    """PGD training."""
    return train(convolutions, ATTACK, on_adversarial)


class SmallTransformer(nn.Module):
    """Patches of 4×4 as 16 tokens, two blocks."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.places = nn.Parameter(0.02 * torch.randn((SIDE // 4) ** 2, width))
        block = partial(nn.TransformerEncoderLayer, width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.Sequential(block(), block())
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.places
        logits: Tensor = self.head(self.blocks(tokens).mean(dim=1))
        return logits


def _perceptron(*widths: int) -> nn.Module:
    network, before = nn.Sequential(nn.Flatten()), 3 * SIDE**2
    for width in widths:
        network.extend([nn.Linear(before, width), nn.ReLU()])
        before = width
    return network.append(nn.Linear(before, CLASSES))


HONEST: dict[str, Callable[[], nn.Module]] = {
    "undefended": undefended,
    "pat": pgd_trained,
    "trades": lambda: train(convolutions, BELIEVING, trades),
    "alp": lambda: train(convolutions, ATTACK, alp),
    "averaged weights": lambda: train(convolutions, ATTACK, on_adversarial, decay=0.98),
    "linear": lambda: train(_perceptron, ATTACK, on_adversarial),
    "small transformer": lambda: train(SmallTransformer, GENTLE, alp, steps=500),
    "wide perceptron": lambda: train(partial(_perceptron, 1024), ATTACK, on_adversarial),
}
