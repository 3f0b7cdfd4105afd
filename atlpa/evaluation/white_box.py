"""White-box evaluation: an image stands if it is right clean and at every iterate so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from atlpa.attacks import Attack, Stepwise
from atlpa.data import Images
from atlpa.evaluation.active_batch import ActiveQueue
from atlpa.evaluation.attack_result import AttackResult, check_measurable
from atlpa.evaluation.correctness import BATCH_SIZE, correct, device_of, to_batch
from atlpa.evaluation.robust_tracker import RobustTracker
from atlpa.evaluation.transfer import transfer
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits, eval_mode, random_layers


@ieee_float32()
def white_box(
    model: Logits,
    images: Images,
    attack: Attack,
    budgets: Sequence[int],
    *,
    seed: int = 0,
    draws: int = 1,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda _: None,
    keep_adversarial: bool = False,
) -> AttackResult:
    """Attack every image with its own model; the images that are wrong clean never stand.

    An attack that can be taken step by step is followed: a fallen image leaves the batch at once and the next one takes
    its place, so that the work goes to images that still stand; each further stage touches only those. A device is
    waited for once for each batch that is judged. Any other attack is judged at the budgets alone, and so is any attack
    on a randomized model, which would fall by chance at one of so many draws; there each draw is judged by itself.

    Args:
        model: left exactly as found.
        images: the data.
        attack: any.
        budgets: iteration budgets, ascending; the last is the attack's own.
        seed: of random starts and of a randomized model's draws, keyed by image and stage.
        draws: how often a randomized model is asked.
        batch_size: images attacked at a time.
        progress: called with the number of images × iterates that are done or, since the image has fallen, left out:
            of N · ``iterates_of(stages)`` where the attack is followed, whose restarts and parts are stages.
        keep_adversarial: whether the result holds the adversarial images of the last budget.

    Raises:
        ValueError: restarts with several budgets, whose smaller ones would look better than they are; or an attack that
            leaves its ε-ball.
    """
    check_measurable(attack)
    stages = stages_of(model, images, attack)
    if not stages:
        if getattr(attack, "restarts", 1) > 1:
            raise ValueError(
                f"{attack.name} with {getattr(attack, 'restarts', 1)} restarts cannot be followed step by step here, "
                "and one run would pass for all of them; set restarts=1, or no momentum and diversity"
            )
        how: dict[str, Any] = {"seed": seed, "draws": draws, "batch_size": batch_size, "progress": progress}
        shown = transfer(model, {"": model}, images, attack, budgets, **how, keep_adversarial=keep_adversarial)[""]
        return replace(shown, robust=shown.robust & shown.clean)
    if len(stages) > 1 and len(budgets) > 1:
        raise ValueError("restarts touch only what stands at the last budget; judge restarts at one budget at a time")
    clean = correct(model, images)[0]
    device = device_of(model, images)
    network = stages[0].prepare(model, to_batch(images, torch.arange(min(batch_size, len(images))), device)[0])
    kept = to_batch(images, torch.arange(len(images)), torch.device("cpu"))[0] if keep_adversarial else None
    tracker = RobustTracker(clean, budgets, attack, kept)
    passes = follow(stages, tracker, model, network, images, seed=seed, batch_size=batch_size, progress=progress)
    return AttackResult(
        clean=clean[None],
        robust=tracker.robust[:, None],
        budgets=tuple(budgets),
        perturbation=tracker.perturbation,
        passes=passes,
        adversarial=tracker.adversarial,
        felled_by=tracker.felled_by([stage.title for stage in stages]),
    )


def follow(
    stages: Sequence[Stepwise],
    tracker: RobustTracker,
    model: Logits,
    network: Logits,
    images: Images,
    *,
    seed: int | None,
    batch_size: int,
    progress: Callable[[int], object] = lambda _: None,
) -> int:
    """Take every step of an attack with the images that still stand, one stage after another.

    Args:
        stages: of the attack.
        tracker: of the images that are attacked; it is told of what falls.
        model: left exactly as found; it judges what half precision cannot.
        network: what gradients are computed on, as a stage's ``prepare`` makes it of the model.
        images: the data.
        seed: of random starts, keyed by image and stage; ``None`` draws from torch's global generator.
        batch_size: images attacked at a time.
        progress: called with the number of images × iterates that are done or left out, as of ``white_box``.

    Returns:
        Forward and backward passes, counted in images.
    """
    passes = 0
    progress(int((~tracker.robust[-1]).sum()) * iterates_of(stages))
    for number, stage in enumerate(stages):
        standing, later = torch.nonzero(tracker.robust[-1]).flatten(), iterates_of(stages[number + 1 :])
        if not len(standing):
            break
        queue = ActiveQueue(model, network, images, stage, standing, seed=seed, stage=number, batch_size=batch_size)
        for batch, fallen in queue:
            passes += len(batch)
            tracker.update(batch, fallen, number)
            left_out = (stage.iterations - batch.age)[fallen | batch.over].sum() + later * fallen.sum()
            progress(len(batch) + int(left_out))
    return passes


def iterates_of(stages: Sequence[Stepwise]) -> int:
    """How many iterates of an image are judged at most, the start of each stage among them."""
    return sum(stage.iterations + 1 for stage in stages)


def stages_of(model: Logits, images: Images, attack: Attack) -> Sequence[Stepwise]:
    """The stages that white-box evaluation follows step by step, if any."""
    if random_layers(model):
        return ()
    return attack.stages(classes_of(model, images))


@torch.no_grad()
def classes_of(model: Logits, images: Images) -> int:
    """How many classes a model tells apart."""
    image, _ = to_batch(images, torch.arange(min(1, len(images))), device_of(model, images))
    with eval_mode(model):
        return model(image).shape[1]
