"""BatchNorm's statistics of an average, measured on what the network meets in training."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from atlpa.attacks import Attack
from atlpa.data import Batches
from atlpa.defenses import Defense
from atlpa.model_state import with_generators
from atlpa.randomness import BatchPart, generator, global_draws
from atlpa.training.recipe import Recipe

BATCHES = 32
"""On how many batches they are measured."""


def estimate_batchnorm(
    model: nn.Module, defense: Defense, attack: Attack, recipe: Recipe, batches: Batches, seed: int
) -> None:
    """Replace a network's statistics by their mean over batches of training, attacked for the network itself.

    The batches and all draws are always the same. Where BatchNorm is synchronized, every process must do it.

    Args:
        model: the network, in evaluation mode; left so.
        defense: which views of a batch are trained on.
        attack: as in training.
        recipe: how many images pass at a time.
        batches: the first ones are used.
        seed: the experiment's.
    """
    if not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules()):
        return
    # All are made before any is used, for the attack meets the statistics that are replaced.
    made = [part for number in range(BATCHES) for part in _parts(model, defense, attack, recipe, batches, number, seed)]
    device = next(model.parameters()).device

    def one_by_one() -> Iterator[Tensor]:
        for images, draws in made:
            with with_generators(model, draws), global_draws(draws):
                yield images.to(device)

    update_bn(one_by_one(), model)
    model.eval()


def _parts(
    model: nn.Module, defense: Defense, attack: Attack, recipe: Recipe, batches: Batches, number: int, seed: int
) -> Iterator[tuple[Tensor, torch.Generator | None]]:
    """A batch's views as they pass the network in training, on the CPU, with what draws for them."""
    images, labels = batches.at(number)
    source = generator(seed, "statistics of the average", number, device=images.device)
    whole = BatchPart.taken(source, batches.rows, recipe.batch_size)
    size = recipe.at_once(len(labels))
    for first in range(0, len(labels), size):
        few, classes = images[first : first + size], labels[first : first + size]
        draws = BatchPart.taken(whole, range(first, first + size), len(labels))
        views = [few] if defense.needs_clean else []
        if defense.needs_adversarial:
            views.append(attack(model, few, classes, generator=draws))
        yield torch.cat(views).cpu(), draws
