"""Transfer evaluation: images made on a source network, shown to any number of targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from atlpa.attacks import PGD, Attack
from atlpa.data import Images
from atlpa.evaluation.accuracy import BATCH_SIZE, batch_indices, correct, correct_over_draws, generators, to_batch
from atlpa.evaluation.adversarial_cache import AdversarialBatches, adversarial_cache
from atlpa.evaluation.attack_result import AttackResult, Perturbation, measure
from atlpa.float32 import ieee_float32
from atlpa.model_state import random_layers


@ieee_float32()
def transfer(
    source: nn.Module,
    targets: Mapping[str, nn.Module],
    images: Images,
    attack: Attack,
    budgets: Sequence[int],
    *,
    seed: int = 0,
    draws: int = 1,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda _: None,
    keep: Path | None = None,
) -> dict[str, AttackResult]:
    """Make adversarial images once on the source and judge every target on them at each budget, on the last iterate.

    Args:
        source: the network the attack sees; left exactly as found, as are the targets.
        targets: networks by name.
        images: the data.
        attack: PGD without restarts, or noise, which is one iterate.
        budgets: iteration budgets, ascending; the last is the attack's own number of iterations.
        seed: of random starts and of randomized networks' draws, keyed by image.
        draws: how often a randomized target is asked; the others are asked once.
        batch_size: images attacked at a time.
        progress: called with the number of images × iterations that are done.
        keep: a file for the adversarial images; if it is there, they are read from it.
    """
    device = next(source.parameters()).device
    perturbation = Perturbation.empty(len(budgets), len(images))
    asked = {name: draws if random_layers(target) else 1 for name, target in targets.items()}
    robust = {name: torch.zeros(len(budgets), asked[name], len(images), dtype=torch.bool) for name in targets}
    make = partial(_made, source, images, attack, budgets, seed, batch_size, progress)
    shape = (len(budgets), len(images), *images[torch.arange(1)].shape[1:])
    for row, positions, made in adversarial_cache(keep, shape, make, batch_size) if keep else make():
        batch, labels = to_batch(images, positions, device)
        adversarial = made.to(device)
        perturbation.note(row, positions, measure(adversarial, batch, attack.epsilon), attack.epsilon)
        for name, target in targets.items():
            judged = correct_over_draws(target, adversarial, labels, positions, seed, asked[name])
            robust[name][row, :, positions] = judged
    steps = len(images) * budgets[-1] * attack.eot if isinstance(attack, PGD) else None
    return {
        name: AttackResult(correct(target, images, seed=seed, draws=asked[name]), robust[name], perturbation, steps)
        for name, target in targets.items()
    }


def _made(
    source: nn.Module,
    images: Images,
    attack: Attack,
    budgets: Sequence[int],
    seed: int,
    batch_size: int,
    progress: Callable[[int], object],
) -> AdversarialBatches:
    """One run of the attack over all images, with its iterates at each budget."""
    device = next(source.parameters()).device
    for positions in batch_indices(images, batch_size):
        batch, labels = to_batch(images, positions, device)
        draws = generators(seed, "attack", positions, device=device)
        iterates = attack.iterates(source, batch, labels, generator=draws)
        for iteration, adversarial in enumerate(iterates, 1):
            progress(len(batch))
            if iteration in budgets:
                yield budgets.index(iteration), positions, adversarial
