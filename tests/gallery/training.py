"""Small networks on scikit-learn's digits at 16 pixels, each trained in seconds."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from atlpa.attacks import Attack
from atlpa.losses import kl_pairing_loss, logit_pairing_loss

SIDE, CLASSES, EPSILON = 16, 10, 0.15
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of logits on clean and adversarial images ``(B, C)``, and labels ``(B,)``."""


@cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images ``(N, 3, 16, 16)`` in [0, 1] and labels, and 256 others with theirs."""
    scans, numbers = load_digits(return_X_y=True)
    gray = torch.tensor(scans, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    images, labels = F.interpolate(gray.expand(-1, 3, -1, -1), SIDE, mode="bilinear"), torch.tensor(numbers)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, labels = images[order], labels[order]
    return images[256:], labels[256:], images[:256], labels[:256]


def convolutions(channels: int = 3, act: Callable[[], nn.Module] = nn.ReLU, width: int = 8) -> nn.Sequential:
    """Three convolutions and a linear layer; activations stand at 2, 5 and 7, features end at 9."""
    return nn.Sequential(
        *(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), act()),
        *(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.BatchNorm2d(2 * width), act()),
        *(nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1), act()),
        *(nn.Flatten(), nn.Linear(2 * width * SIDE, CLASSES)),
    )


def on_adversarial(clean: Tensor, adversarial: Tensor, labels: Tensor) -> Tensor:
    """PGD training's."""
    del clean
    return F.cross_entropy(adversarial, labels)


def on_clean(clean: Tensor, adversarial: Tensor, labels: Tensor) -> Tensor:
    """Ordinary training's."""
    del adversarial
    return F.cross_entropy(clean, labels)


def trades(clean: Tensor, adversarial: Tensor, labels: Tensor) -> Tensor:
    """TRADES' with β = 6."""
    return F.cross_entropy(clean, labels) + 6 * kl_pairing_loss(clean, adversarial)


def alp(clean: Tensor, adversarial: Tensor, labels: Tensor) -> Tensor:
    """ALP's with λ = 0.5, on the mix."""
    both = (F.cross_entropy(clean, labels) + F.cross_entropy(adversarial, labels)) / 2
    return both + 0.5 * logit_pairing_loss(clean, adversarial)


def train(
    make: Callable[[], nn.Module],
    attack: Attack | None = None,
    loss: Loss = on_clean,
    *,
    steps: int = 300,
    rate: float = 0.05,
    seed: int = 0,
    decay: float = 0.0,
) -> nn.Module:
    """A network after some steps of 64 images, in evaluation mode; with a decay, the average of its weights."""
    images, labels, *_ = digits()
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make().train()
        average = deepcopy(model)
        optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
        for _ in range(steps):
            chosen = torch.randint(len(images), (64,), generator=generator)
            batch, given = images[chosen], labels[chosen]
            if attack is None:
                clean = adversarial = model(batch)
            else:
                other = attack(model, batch, given, generator=generator)
                clean, adversarial = model(torch.cat([batch, other])).chunk(2)
            optimizer.zero_grad()
            loss(clean, adversarial, given).backward()
            optimizer.step()
            with torch.no_grad():
                for mine, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                    mine.copy_(decay * mine + (1 - decay) * new if mine.is_floating_point() else new)
    return average.eval()
