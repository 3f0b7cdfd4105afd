"""Every batch of a data set attacked once: what transfer, validation, checks and analyses are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from atlpa.attacks import Attack
from atlpa.data import Images
from atlpa.errors import UserError
from atlpa.evaluation.correctness import (
    BATCH_SIZE,
    correct,
    correct_over_draws,
    device_of,
    generators,
    to_batch,
)
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits
from atlpa.out_of_memory import ERRORS, fitting, halved

AdversarialBatches = Iterator[tuple[int, Tensor, Tensor]]
"""Row of the budget, positions ``(B,)`` and adversarial images ``(B, 3, S, S)``."""


def adversarial_batches(
    model: Logits,
    images: Images,
    attack: Attack,
    budgets: Sequence[int] | None = None,
    *,
    seed: int | None = 0,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda _: None,
) -> AdversarialBatches:
    """One run of an attack over all images.

    Args:
        model: the network attacked; left exactly as found.
        images: the data.
        attack: any.
        budgets: the iterates that are wanted, ascending; by default what a call of the attack gives, restarts included.
        seed: of the attack's draws, which are keyed by image; ``None`` draws from torch's global generator.
        batch_size: images attacked at a time.
        progress: called with the number of images × iterates that are done.

    Raises:
        UserError: the attack has fewer iterates than the last budget.
    """
    device = device_of(model, images)

    def of(positions: Tensor, done: int = 0) -> AdversarialBatches:
        """A batch, from its iterate after ``done``; in halves where memory lacks."""
        batch, labels = to_batch(images, positions, device)
        draws = None if seed is None else generators(seed, "attack", positions, device=device)
        try:
            if budgets is None:
                yield 0, positions, attack(model, batch, labels, generator=draws)
                progress(len(batch))
                return
            for iteration, adversarial in enumerate(attack.iterates(model, batch, labels, generator=draws), 1):
                if iteration > done:
                    done = iteration
                    progress(len(batch))
                    if iteration in budgets:
                        yield budgets.index(iteration), positions, adversarial
            if done < budgets[-1]:
                raise UserError(f"the attack {attack.name} has {done} iterates; a budget of {budgets[-1]} is none")
            return
        except ERRORS as error:
            half = halved(len(positions), error)
        for part in positions.split(half):  # type: ignore[no-untyped-call]
            yield from of(part, done)

    waiting = torch.arange(len(images))
    while len(waiting):
        positions = waiting[: fitting(batch_size)]
        yield from of(positions)
        waiting = waiting[len(positions) :]


def attacked(
    model: Logits,
    images: Images,
    attack: Attack,
    *,
    seed: int | None = 0,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda _: None,
) -> Tensor:
    """The adversarial images ``(N, 3, S, S)`` of a whole data set, on the CPU; arguments as of the batches.

    ``progress`` counts images.
    """
    made = adversarial_batches(model, images, attack, seed=seed, batch_size=batch_size, progress=progress)
    return torch.cat([adversarial.cpu() for _, _, adversarial in made])


@ieee_float32()
def accuracy(model: Logits, images: Images, attack: Attack | None = None, seed: int = 0) -> float:
    """Share of the images that a model gets right, as they are or after an attack on this very model, in one draw."""
    if attack is None:
        return correct(model, images, seed).float().mean().item()
    device = device_of(model, images)
    judged = []
    for _, positions, adversarial in adversarial_batches(model, images, attack, seed=seed):
        labels = images.labels[positions].to(device)
        judged.append(correct_over_draws(model, adversarial, labels, positions, seed, 1))
    return torch.cat(judged, dim=1).float().mean().item()
