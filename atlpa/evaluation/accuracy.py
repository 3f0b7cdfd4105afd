"""Whether a model is right, image by image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from atlpa.attacks import PGD, Noise, undisturbed
from atlpa.data import Images
from atlpa.randomness import generator

BATCH_SIZE = 64


def pictures(images: Images, positions: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Some of a data set's images ``(B, 3, S, S)`` in [0, 1], and their labels ``(B,)``."""
    return images[positions].to(device).float() / 255, images.labels[positions].to(device)


def in_order(images: Images, size: int = BATCH_SIZE) -> tuple[Tensor, ...]:
    """The positions of a data set in batches."""
    return torch.arange(len(images)).split(size)  # type: ignore[no-untyped-call, no-any-return]


@torch.no_grad()
def right(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Which images ``(B,)`` the model classifies as labeled, in evaluation mode."""
    with undisturbed(model):
        logits: Tensor = model(images)
        return logits.argmax(dim=1) == labels


def verdicts(model: nn.Module, images: Images, attack: PGD | Noise | None = None, seed: int = 0) -> Tensor:
    """Judge every image of a data set, as it is or after an attack on this very model.

    Args:
        model: the network; left exactly as found.
        images: the data.
        attack: applied to each batch first; the last iterate is judged.
        seed: of the attack's draws, which are keyed by the image, so that batching cannot change them.

    Returns:
        ``(N,)`` bool, on the CPU.
    """
    device = next(model.parameters()).device
    judged = []
    for positions in in_order(images):
        batch, labels = pictures(images, positions, device)
        adversarial = batch
        if attack is not None:
            adversarial = attack(model, batch, labels, generator=generators(seed, positions))
        judged.append(right(model, adversarial, labels).cpu())
    return torch.cat(judged)


def accuracy(model: nn.Module, images: Images, attack: PGD | Noise | None = None, seed: int = 0) -> float:
    """Share of the images that ``verdicts`` finds right."""
    return verdicts(model, images, attack, seed).float().mean().item()


def generators(seed: int, positions: Tensor, restart: int = 0) -> list[torch.Generator]:
    """One generator for each image's draws in an attack."""
    return [generator(seed, "attack", position, restart) for position in positions.tolist()]
