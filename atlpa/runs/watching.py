"""How a training is watched: on the validation part, and for the collapse of one-step training."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import torch
from torch import nn

from atlpa.attacks import PGD
from atlpa.data import Images
from atlpa.evaluation import accuracy
from atlpa.evaluation.correctness import to_batch
from atlpa.processes import Processes
from atlpa.runs.folder import Run
from atlpa.runs.prepare import Prepared
from atlpa.training import SELECTION, CollapseWatch, SoundCheckpoint, TrainingLog
from atlpa.training.collapse import step_field, step_name


def validate(prepared: Prepared, images: Images) -> dict[str, float]:
    """Accuracy on the validation part: clean, under the recipe's attack, and under that which selects.

    What a defense makes of the recipe's attack does not matter here, so that all are watched under the same one; PGD
    with ten steps of ε/4 stands in for one that leaves the ε-ball.
    """
    experiment, average = prepared.experiment, prepared.average
    model: nn.Module = average.model if average else prepared.model
    recipe, seed = experiment.training, experiment.seed
    attack = recipe.attack
    if not attack.bounded:
        attack = PGD(epsilon=1, step=1 / 4, iterations=10).scaled(attack.epsilon)
    found = {
        "clean_accuracy": accuracy(model, images),
        "adversarial_accuracy": accuracy(model, images, attack, seed),
    }
    if recipe.select_by:
        found[SELECTION] = accuracy(model, images, recipe.select_by, seed)
    return found


def collapse_watch(
    run: Run,
    prepared: Prepared,
    log: TrainingLog | None,
    sound: SoundCheckpoint | None,
    say: Callable[[str], None],
    here: Processes,
) -> CollapseWatch | None:
    """What looks for collapse, in every process, where something does."""
    experiment, recipe, sample = prepared.experiment, prepared.experiment.training, prepared.sample
    check = recipe.collapse_check(experiment.defense)
    if check is None:
        return None
    return CollapseWatch(
        check,
        looks=max(1, recipe.iterations // check.every),
        seed=experiment.seed,
        model=prepared.model,
        batch=to_batch(sample, torch.arange(len(sample)), prepared.device) if sample else None,
        log=log,
        sound=sound,
        say=say,
        advice=_advice(run),
        here=here,
    )


def _advice(run: Run) -> str:
    """What to do about a training that was stopped, as a command."""
    experiment = run.experiment
    attack = experiment.defense.training_attack(experiment.training.attack)
    field = step_field(attack)
    place = "defense.attack" if experiment.defense.attack else "training.attack"
    changes = [f"model.weights={run.sound_path}", f"{place}.{field}={getattr(attack, field) / 2:g}"]
    if experiment.origin:  # which would come before the weights
        changes.append("origin=null")
    command = ["atlpa-train", "--config", f"{run.folder}/experiment.yaml"]
    command += [part for change in changes for part in ("--set", change)]
    command += ["--output", f"{run.folder}-lower"]
    return f"go on from the network of before with half the {step_name(attack)}: {shlex.join(command)}"
