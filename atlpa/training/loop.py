"""The training loop: steps, log, a look at the validation part, checkpoints, and a clean way out."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, get_args

import torch
from torch import nn
from torch.optim import Optimizer

from atlpa.data import Batches
from atlpa.defenses import Defense, View
from atlpa.errors import Interrupted, UserError
from atlpa.out_of_memory import must_fit
from atlpa.processes import ALONE, Processes, Shared
from atlpa.progress import Progress
from atlpa.randomness import BatchPart, generator
from atlpa.signals import caught, handle
from atlpa.training.collapse_watch import CollapseWatch
from atlpa.training.log import TrainingLog
from atlpa.training.recipe import Recipe
from atlpa.training.step import StepResult, training_step


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
    save: Callable[[int], None] | None,
    validate: Callable[[], dict[str, float]] | None,
    title: str,
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
        save: called with the number of steps taken, to write a checkpoint; likewise.
        validate: judges the model on the validation part; ``None`` when that part is trained on, likewise.
        title: shown beside the progress.
        collapse: watches for the collapse of one-step training.
        here: this process among those that train together.

    Raises:
        Interrupted: a signal that asks to end came; the state was saved after the step in progress.
        UserError: the loss is no longer finite; the last checkpoint is from before that was seen. Or training has
            collapsed and is to stop then; the state was saved.
    """
    attack = defense.training_attack(recipe.attack)
    if collapse:
        collapse.must_go_on()
    saved = logged = time.monotonic()
    taken = first_step
    progress = Progress(title, recipe.iterations, "step", done=first_step, keep=True)
    with stop_signals() as stopped, progress:

        def stop() -> int:
            """The signal that some process has got, or 0."""
            return here.largest(stopped[0] if stopped else 0)

        for step, (images, labels) in enumerate(batches.from_step(first_step, recipe.iterations), first_step):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at(step)
            source = generator(seed, "training attack", step, device=images.device)
            with must_fit(f"{recipe.at_once(len(labels))} images at a time", recipe.smaller(len(labels))):
                result = training_step(
                    model,
                    defense,
                    collapse.adjusted(attack) if collapse else attack,
                    optimizer,
                    images,
                    labels,
                    BatchPart.taken(source, batches.rows, recipe.batch_size),
                    precision=recipe.precision,
                    micro_batch=recipe.at_once(len(labels)),
                )
            if here.count > 1 and step == first_step:
                _all_must_learn(model)
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
                    _must_be_finite(numbers["terms"], taken)
                progress.note = f"loss {numbers['loss']:.3f}"
            progress.update()
            if logged_now:
                now = time.monotonic()
                with here.together():
                    if log:
                        rate, timing = recipe.learning_rate_at(step), {"seconds": now - logged}
                        log.write(step=taken, learning_rate=rate, **numbers, timing=timing)
                logged = now
            if taken % recipe.validate_every == 0 or last:
                with here.together():
                    if log and validate:
                        log.write(step=taken, validation=validate())
            if ending or due:
                with here.together():
                    if save:
                        _save_finite(save, result, model, taken)
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


def _all_must_learn(model: nn.Module) -> None:
    """Refuse what torch's processes would wait for in the next step, each for the gradients of all."""
    idle = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    if idle:
        raise Shared(f"no term depends on {idle[0].removeprefix('module.')}; train in one process, or freeze it")


def _must_be_finite(terms: Mapping[str, float], step: int) -> None:
    """Refuse a loss after which all would be worthless."""
    if diverged := [name for name, value in terms.items() if not math.isfinite(value)]:
        raise UserError(
            f"training diverged by step {step}: {', '.join(diverged)} is not finite; try a lower learning rate"
        )


def _save_finite(save: Callable[[int], None], result: StepResult, model: nn.Module, step: int) -> None:
    """Save, but not what diverged, nor weights that the last step, whose terms were still finite, has ruined."""
    _must_be_finite({name: value.item() for name, value in result.terms.items()}, step)
    broken = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise UserError(
            f"training diverged by step {step}: {broken[0]} is not finite; try a lower learning rate or term weight"
        )
    save(step)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect the first signal that asks to end instead of dying of it; a second one acts as usual.

    Outside the main thread signals cannot be caught, and the list stays empty.
    """
    received: list[int] = []
    previous = caught()

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        # A closed terminal is told of twice, by the system and by the shell.
        handle({other: does for other, does in previous.items() if signal.Signals(other).name != "SIGHUP"})

    handle(dict.fromkeys(previous, note))
    try:
        yield received
    finally:
        handle(previous)
