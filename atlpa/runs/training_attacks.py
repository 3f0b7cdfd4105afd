"""The attacks that a training makes, and whether the data and the machine admit them."""

from __future__ import annotations

import torch

from atlpa.attacks import Attack
from atlpa.errors import UserError
from atlpa.evaluation.attack_result import check_measurable
from atlpa.experiment import Experiment


def training_attacks(experiment: Experiment) -> dict[str, Attack]:
    """Every attack that the training of an experiment makes, by what a message calls it.

    The recipe's attack watches the validation part, whatever a defense trains against; a final run has none to watch.
    """
    recipe, defense = experiment.training, experiment.defense
    found: dict[str, Attack] = {}
    if defense.needs_adversarial:
        found["training attack"] = defense.training_attack(recipe.attack)
    if not experiment.final and recipe.attack.bounded:
        found["training.attack"] = recipe.attack
    if recipe.select_by:
        found["training.select_by"] = recipe.select_by
    return found


def check_training_attacks(experiment: Experiment, classes: int) -> None:
    """Refuse attacks that end a training after it has begun.

    Args:
        experiment: as it will be carried out.
        classes: of its data set.

    Raises:
        UserError: one needs more classes, larger images or a package that is missing; or that which selects cannot
            judge.
    """
    for place, attack in training_attacks(experiment).items():
        if reason := attack.missing():
            raise UserError(f"{place}: {attack.name} cannot be made here: {reason}")
        if problem := attack.unfit(classes=classes, side=experiment.data.size):
            raise UserError(f"{place}: {experiment.data.name} has {problem}")
    if select_by := experiment.training.select_by:
        try:
            check_measurable(select_by)
        except UserError as error:
            raise UserError(f"training.select_by: {error}") from error


def attack_notes(experiment: Experiment, device: torch.device) -> list[str]:
    """What may surprise of the attack that is trained against and of that which selects."""
    notes: list[str] = []
    attacks = training_attacks(experiment)
    for place in ("training attack", "training.select_by"):
        if attack := attacks.get(place):
            notes += [f"{place}: {note}" for note in attack.notes()] + attack.device_notes(device)
    return list(dict.fromkeys(notes))
