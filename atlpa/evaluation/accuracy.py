"""Whether a model is right, image by image."""

from __future__ import annotations

from collections.abc import Sized

import torch
from torch import Tensor, nn

from atlpa.attacks import Attack
from atlpa.data import Images
from atlpa.float32 import ieee_float32
from atlpa.model_state import eval_mode, with_generators
from atlpa.randomness import Generators, generator

BATCH_SIZE = 64


def to_batch(images: Images, positions: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Some of a data set's images ``(B, 3, S, S)`` in [0, 1], and their labels ``(B,)``."""
    pixels, labels = images[positions], images.labels[positions]
    return pixels.to(device, non_blocking=True).float() / 255, labels.to(device, non_blocking=True)


def batch_indices(images: Sized, size: int = BATCH_SIZE) -> tuple[Tensor, ...]:
    """The positions of a data set in batches."""
    return torch.arange(len(images)).split(size)  # type: ignore[no-untyped-call, no-any-return]


@torch.no_grad()
@ieee_float32()
def is_correct(model: nn.Module, images: Tensor, labels: Tensor, generators: Generators = None) -> Tensor:
    """Which images ``(B,)`` the model classifies as labeled, in evaluation mode; a randomized one in one draw."""
    with eval_mode(model), with_generators(model, generators):
        logits: Tensor = model(images)
        return logits.argmax(dim=1) == labels


def correct_over_draws(
    model: nn.Module, images: Tensor, labels: Tensor, positions: Tensor, seed: int, draws: int
) -> Tensor:
    """Which images ``(draws, B)`` a randomized model gets right in each of several draws.

    A draw is a pure function of the seed, the image's position and its own number: the same images meet the same
    draws clean and under every attack, and no attack knows them.
    """
    return torch.stack(
        [
            is_correct(model, images, labels, generators(seed, "judgment", positions, draw, images.device))
            for draw in range(draws)
        ]
    ).cpu()


@ieee_float32()
def correct(model: nn.Module, images: Images, attack: Attack | None = None, seed: int = 0, draws: int = 1) -> Tensor:
    """Judge every image of a data set, as it is or after an attack on this very model.

    Args:
        model: the network; left exactly as found.
        images: the data.
        attack: applied to each batch first; the last iterate is judged.
        seed: of the attack's draws and the model's, which are keyed by the image, so that batching cannot change them.
        draws: how often a randomized model is asked.

    Returns:
        ``(draws, N)`` bool, on the CPU.
    """
    device = next(model.parameters()).device
    judged = []
    for positions in batch_indices(images):
        batch, labels = to_batch(images, positions, device)
        adversarial = batch
        if attack is not None:
            adversarial = attack(model, batch, labels, generator=generators(seed, "attack", positions, device=device))
        judged.append(correct_over_draws(model, adversarial, labels, positions, seed, draws))
    return torch.cat(judged, dim=1)


def accuracy(model: nn.Module, images: Images, attack: Attack | None = None, seed: int = 0) -> float:
    """Share of the images that ``correct`` finds right, in one draw."""
    return correct(model, images, attack, seed).float().mean().item()


def generators(
    seed: int, purpose: str, positions: Tensor, turn: int = 0, device: torch.device | str = "cpu"
) -> list[torch.Generator]:
    """One generator for each image, for one purpose, on the images' device; ``turn`` counts restarts or draws."""
    return [generator(seed, purpose, position, turn, device=device) for position in positions.tolist()]
