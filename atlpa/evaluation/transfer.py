"""Transfer evaluation: images made on a source network, shown to any number of targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from atlpa.attacks import Attack
from atlpa.errors import UserError, shown
from atlpa.evaluation.admission import asked_budgets, check_network, check_task, whole_number
from atlpa.evaluation.adversarial_cache import adversarial_cache
from atlpa.evaluation.as_images import as_images, precision_of
from atlpa.evaluation.attack_batches import adversarial_batches
from atlpa.evaluation.attack_result import AttackResult, Perturbation, check_measurable, measure
from atlpa.evaluation.correctness import BATCH_SIZE, correct, correct_over_draws, device_of, draws_of, to_batch
from atlpa.evaluation.eight_bit import eight_bit as to_eight_bit
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits


@ieee_float32()
def transfer(
    source: Logits,
    targets: Mapping[str, Logits],
    images: Any,
    attack: Attack,
    budgets: Sequence[int] | None = None,
    *,
    seed: int = 0,
    draws: int = 1,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda _: None,
    eight_bit: bool = False,
    keep: Path | None = None,
    keep_adversarial: bool = False,
) -> dict[str, AttackResult]:
    """Make adversarial images once on the source and judge every target on them at each budget, on that iterate.

    Args:
        source: the network the attack sees; left exactly as found, as are the targets.
        targets: networks by name.
        images: the data, with its labels, as of ``evaluate``.
        attack: any; of restarts the first is made.
        budgets: iteration budgets; the last is the attack's own, which is the default.
        seed: of random starts and of randomized networks' draws, keyed by image.
        draws: how often a randomized target is asked; the others are asked once.
        batch_size: images attacked at a time.
        progress: called with the number of images × iterates that are done.
        eight_bit: whether the images are rounded to multiples of 1/255 within ε before they are shown.
        keep: a file for the adversarial images as they were made; if it is there, they are read from it.
        keep_adversarial: whether the results hold the adversarial images of the last budget.

    Raises:
        ValueError: images that cannot be attacked, a network that gives no logits for them or is of another task than
            the source, budgets beyond the attack's own, an attack that leaves its ε-ball or [0, 1], or an ε that holds
            no 8-bit image.
    """
    if not isinstance(attack, Attack):
        raise ValueError(f"the attack is {shown(attack)}; give one, such as PGD(8/255, 2/255, 50)")
    if not isinstance(targets, Mapping):
        raise ValueError(f"targets {shown(targets)}; give networks by name")
    images = as_images(images, dtype=precision_of(source))
    classes = check_network(source, images, attack, "source")
    for name, target in targets.items():
        check_task(target, images, f"target {name}", classes)
    budgets, draws = asked_budgets(attack, budgets), whole_number("draws", draws)
    batch_size = whole_number("batch_size", batch_size)
    check_measurable(attack)
    if eight_bit and attack.norm != "Linf":
        raise UserError(f"8-bit images are rounded within ε of L∞, and {attack.name} measures it in {attack.norm}")
    device = device_of(source, images)
    perturbation = Perturbation.empty(attack, len(budgets), len(images))
    robust = {
        name: torch.zeros(len(budgets), draws_of(target, draws), len(images), dtype=torch.bool)
        for name, target in targets.items()
    }
    kept = to_batch(images, torch.arange(len(images)), torch.device("cpu"))[0] if keep_adversarial else None
    how: dict[str, Any] = {"seed": seed, "batch_size": batch_size, "progress": progress}
    make = partial(adversarial_batches, source, images, attack, budgets, **how)
    shape = (len(budgets), len(images), *images[torch.arange(1)].shape[1:])
    for row, positions, made in adversarial_cache(keep, shape, make, batch_size) if keep else make():
        batch, labels = to_batch(images, positions, device)
        adversarial = to_eight_bit(made.to(device), batch, attack.epsilon) if eight_bit else made.to(device)
        perturbation.note(row, positions, measure(adversarial, batch, attack))
        for name, target in targets.items():
            asked = robust[name].shape[1]
            robust[name][row, :, positions] = correct_over_draws(target, adversarial, labels, positions, seed, asked)
        if kept is not None and row == len(budgets) - 1:
            kept[positions] = adversarial.to(kept)
    cost = attack.cost() if attack.gradients else None
    return {
        name: AttackResult(
            clean=correct(target, images, seed=seed, draws=robust[name].shape[1]),
            robust=robust[name],
            budgets=tuple(budgets),
            perturbation=perturbation,
            passes=cost and len(images) * cost.backwards,
            adversarial=kept,
        )
        for name, target in targets.items()
    }
