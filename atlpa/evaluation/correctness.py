"""Whether a model is right, image by image."""

from __future__ import annotations

from collections.abc import Sized

import torch
from torch import Tensor, nn

from atlpa.attacks.objectives import fools
from atlpa.data import Images
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits, eval_mode, random_layers, with_generators
from atlpa.out_of_memory import fitting, in_parts
from atlpa.randomness import Generators, generator

BATCH_SIZE = 64


def to_batch(images: Images, positions: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Some of a data set's images ``(B, 3, S, S)`` in [0, 1], and their labels ``(B,)``."""
    pixels, labels = images[positions].to(device, non_blocking=True), images.labels[positions]
    batch = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
    return batch, labels.to(device, non_blocking=True)


def device_of(model: Logits, images: Images) -> torch.device:
    """Where a model computes; a callable without parameters does so where the images lie."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return images[torch.arange(1)].device if parameter is None else parameter.device


def draws_of(model: Logits, draws: int) -> int:
    """How often a model is asked, if a randomized one is asked so many times: others are asked once."""
    return draws if random_layers(model) else 1


def batch_indices(images: Sized, size: int = BATCH_SIZE) -> tuple[Tensor, ...]:
    """The positions of a data set in batches."""
    return torch.arange(len(images)).split(fitting(size))  # type: ignore[no-untyped-call, no-any-return]


@torch.no_grad()
@ieee_float32()
def is_correct(model: Logits, images: Tensor, labels: Tensor, generators: Generators = None) -> Tensor:
    """Which images ``(B,)`` the model classifies as labeled, in evaluation mode; a randomized one in one draw.

    Logits that are no numbers classify nothing, though torch finds a largest one among them.
    """
    with eval_mode(model), with_generators(model, generators):
        return matches(model(images), labels)


def matches(logits: Tensor, labels: Tensor) -> Tensor:
    """Where the largest of the logits ``(B, C)``, all numbers, is that of the label, ``(B,)``."""
    return ~fools(logits, labels)


def correct_over_draws(
    model: Logits, images: Tensor, labels: Tensor, positions: Tensor, seed: int, draws: int
) -> Tensor:
    """Which images ``(draws, B)`` a randomized model gets right in each of several draws.

    A draw is a pure function of the seed, the image's position and its own number: the same images meet the same
    draws clean and under every attack, and no attack knows them.
    """

    def of(rows: slice) -> Tensor:
        keys = (generators(seed, "judgment", positions[rows], draw, images.device) for draw in range(draws))
        return torch.stack([is_correct(model, images[rows], labels[rows], key) for key in keys]).cpu()

    return torch.cat(list(in_parts(len(images), len(images), of)), dim=1)


@ieee_float32()
def correct(model: Logits, images: Images, seed: int = 0, draws: int = 1) -> Tensor:
    """Which images a model classifies as labeled, ``(draws, N)`` bool on the CPU.

    Args:
        model: the network; left exactly as found.
        images: the data.
        seed: of a randomized model's draws, which are keyed by the image, so that batching cannot change them.
        draws: how often a randomized model is asked.
    """
    device = device_of(model, images)
    batches = ((positions, *to_batch(images, positions, device)) for positions in batch_indices(images))
    return torch.cat(
        [correct_over_draws(model, batch, labels, positions, seed, draws) for positions, batch, labels in batches],
        dim=1,
    )


def generators(
    seed: int, purpose: str, positions: Tensor, turn: int = 0, device: torch.device | str = "cpu"
) -> list[torch.Generator]:
    """One generator for each image, for one purpose, on the images' device; ``turn`` counts restarts or draws."""
    return [generator(seed, purpose, position, turn, device=device) for position in positions.tolist()]
