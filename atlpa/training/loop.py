"""The training loop: steps, log, a look at the validation part, checkpoints, and a clean way out."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

from torch import nn
from torch.optim import Optimizer

from atlpa.data import Batches
from atlpa.defenses import Defense, View
from atlpa.errors import Interrupted
from atlpa.out_of_memory import must_fit
from atlpa.processes import ALONE, Processes, unwrapped
from atlpa.progress import Progress
from atlpa.randomness import BatchPart, generator
from atlpa.signals import stop_signals
from atlpa.training.averaging import AveragedModel
from atlpa.training.collapse_watch import CollapseWatch
from atlpa.training.estimation import estimate_batchnorm
from atlpa.training.finite import must_be_finite, weights_must_be_finite
from atlpa.training.log import TrainingLog
from atlpa.training.recipe import Recipe
from atlpa.training.schedule import Schedule
from atlpa.training.step import StepResult, training_step

Kept = Literal["last", "best"]
"""The checkpoints of a run: where it stands, and the network that did best on the validation part."""

SELECTION = "selection_accuracy"
"""What the log calls the accuracy that decides which network is the best."""


def train(
    model: nn.Module,
    defense: Defense,
    recipe: Recipe,
    optimizer: Optimizer,
    batches: Batches,
    seed: int,
    *,
    first_step: int,
    log: TrainingLog | None,
    save: Callable[[int, Kept], None] | None,
    validate: Callable[[], dict[str, float]] | None,
    title: str,
    average: AveragedModel | None = None,
    collapse: CollapseWatch | None = None,
    here: Processes = ALONE,
) -> None:
    """Train from ``first_step`` to the end of the recipe.

    Args:
        model: the network, on the device of the batches; shared where several processes train it.
        defense: the objective.
        recipe: iterations, learning rates and the attack.
        optimizer: of the model.
        batches: what to train on.
        seed: the experiment's, for the attack's random starts.
        first_step: steps already taken.
        log: where terms, learning rate and accuracies go; ``None`` in a process that does not write.
        save: called with the number of steps taken and a checkpoint's name, to write it; likewise.
        validate: judges the network on the validation part; ``None`` when that part is trained on, likewise.
        title: shown beside the progress.
        average: of the model's weights, where that is judged.
        collapse: watches for the collapse of one-step training.
        here: this process among those that train together.

    Raises:
        Interrupted: a signal that asks to end came; the state was saved after the step in progress.
        UserError: the loss is no longer finite; the last checkpoint is from before that was seen. Or training has
            collapsed and is to stop then; the state was saved.
    """
    whole = defense.training_attack(recipe.attack)
    network = unwrapped(model)
    if collapse:
        collapse.must_go_on()
    saved = logged = time.monotonic()
    taken = first_step
    progress = Progress(title, recipe.iterations, "step", done=first_step, keep=True)
    # Without a part to look at, the last network alone is one to be measured.
    looks = here.largest(validate is not None)

    def memory(part: int) -> AbstractContextManager[None]:
        """What does not fit ends with the setting to change."""
        return must_fit(f"{recipe.at_once(part)} images at a time", recipe.smaller(part))

    with stop_signals() as stopped, progress:

        def stop() -> int:
            """The signal that some process has got, or 0."""
            return here.largest(stopped[0] if stopped else 0)

        for step, (images, labels) in enumerate(batches.from_step(first_step, recipe.iterations), first_step):
            rate = recipe.learning_rate_at(step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            risen = recipe.epsilon_schedule.at(step, recipe.iterations)
            attack = whole.scaled(risen)
            if collapse:
                attack = collapse.adjusted(attack)
            source = generator(seed, "training attack", step, device=images.device)
            with memory(len(labels)):
                result = training_step(
                    model,
                    defense,
                    attack,
                    optimizer,
                    images,
                    labels,
                    BatchPart.taken(source, batches.rows, recipe.batch_size),
                    precision=recipe.precision,
                    micro_batch=recipe.at_once(len(labels)),
                    clip_norm=recipe.clip_norm,
                    risen=risen,
                )
            if average:
                average.update(network, step)
            taken = step + 1
            if collapse:
                collapse.after(taken, attack)
            last = taken == recipe.iterations
            # Asked once, and before the device is waited for: a signal that comes later waits for the next step.
            ending = stop() or last or (collapse is not None and collapse.stops)
            due = here.largest(time.monotonic() - saved >= recipe.checkpoint_seconds)
            logged_now = taken % recipe.log_every == 0 or last
            if logged_now or step == first_step:  # a loss is shown from the first step on
                numbers = _numbers(result, here)
                with here.together():
                    must_be_finite(numbers["terms"], taken)
                progress.note = f"loss {numbers['loss']:.3f}"
            progress.update()
            if logged_now:
                now = time.monotonic()
                with here.together():
                    if log:
                        moving = {"learning_rate": rate}
                        if attack != whole or recipe.epsilon_schedule != Schedule(shape="constant"):
                            moving["epsilon"] = attack.epsilon
                        log.write(step=taken, **moving, **numbers, timing={"seconds": now - logged})
                logged = now
            best = False
            if last or (looks and taken % recipe.validate_every == 0):
                with here.together():
                    if average and recipe.estimates_batchnorm:
                        with memory(len(labels)):
                            estimate_batchnorm(average.model, defense, attack, recipe, batches, seed)
                    if log and validate:
                        found = validate()
                        if SELECTION in found:
                            before = log.best(SELECTION)
                            best = before is None or found[SELECTION] > before.value
                        log.write(step=taken, validation=found)
                best = bool(here.largest(best))
            if ending or due or best:
                with here.together():
                    if save:
                        # Where it stands comes first: what is left of a crash between the two can be made up for.
                        for kept in ("last", "best") if best else ("last",):
                            _save(save, kept, result, network, taken)
                saved = time.monotonic()
            if ending:
                break
    if stopped_by := stop():  # also one that came after the last step: nothing more is begun
        raise Interrupted(taken, stopped_by)
    if collapse:
        collapse.must_go_on()


def _numbers(result: StepResult, here: Processes) -> dict[str, Any]:
    """The reproducible part of a log line, means over all processes."""
    terms = here.mean({name: value.item() for name, value in result.terms.items()})
    accuracy = here.mean({view: share.item() for view, share in result.accuracy.items()})
    return {
        "loss": sum(terms.values()),
        "terms": terms,
        **{f"{view}_accuracy": accuracy.get(view) for view in get_args(View)},
    }


def _save(save: Callable[[int, Kept], None], kept: Kept, result: StepResult, network: nn.Module, step: int) -> None:
    """Save, but not what diverged, nor weights that the last step, whose terms were still finite, has ruined."""
    must_be_finite({name: value.item() for name, value in result.terms.items()}, step)
    weights_must_be_finite(network, step)
    save(step, kept)
