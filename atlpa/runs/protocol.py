"""How runs are judged: an attack, its budgets and its images, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from atlpa.attacks import PGD, Attack, AutoAttack, Noise
from atlpa.attacks.auto_attack import FEWEST_CLASSES
from atlpa.component import dump
from atlpa.engine import precision_note, supported_precision
from atlpa.errors import UserError
from atlpa.runs.folder import Run
from atlpa.runs.threats import Pairing


@dataclass(frozen=True)
class Protocol:
    """How runs are judged.

    Fields:
        attack: PGD, AutoAttack or noise.
        budgets: iteration budgets, ascending; the last is the attack's own number of iterations.
        limit: judge this many images, evenly spaced over the part; all if ``None``.
        seed: of random starts, noise and randomized networks' draws.
        draws: how often a randomized network is asked.
        average: how many draws its prediction is the mean of, each time, under attack too.

    Restarts are a white-box means: transferred images come from one run. Momentum and diversity are a means of
    transfer: a white-box attack follows the gradient itself. Options that only a randomized network has
    are left out where there is none.
    """

    attack: Attack
    budgets: tuple[int, ...]
    limit: int | None = None
    seed: int = 0
    draws: int = 10
    average: int = 1

    def on(self, device: torch.device) -> Protocol:
        """The same on a device: what it would compute in another precision than asked is recorded as what it is."""
        if not isinstance(self.attack, PGD):
            return self
        return replace(self, attack=replace(self.attack, precision=supported_precision(self.attack.precision, device)))

    def notes(self, device: torch.device) -> list[str]:
        """What ``on`` changes there, for the user."""
        note = precision_note(self.attack.precision, device) if isinstance(self.attack, PGD) else None
        return [note] if note else []

    def attack_by(self, pairing: Pairing) -> Attack:
        """The attack as it is made in a pairing."""
        if not isinstance(self.attack, PGD):
            return self.attack
        changes: dict[str, Any] = {}
        if pairing.threat != "white":
            changes["restarts"] = 1
        else:
            changes |= {"momentum": 0.0, "diversity": 0.0}
        if not pairing.source.randomized:
            changes |= {"eot": 1, "fixed_draws": False}
        return replace(self.attack, **changes)

    def settings(self, pairing: Pairing) -> dict[str, Any]:
        """The attack as a record holds it; its iterations are the budgets."""
        if self.attack == Noise(epsilon=0):
            return {"name": "none", "epsilon": 0.0}
        attack = self.attack_by(pairing)
        return {
            "name": type(attack).__name__.lower(),
            **{key: value for key, value in dump(attack).items() if key != "iterations"},
        }

    def average_of(self, run: Run) -> int:
        """How many draws a run's prediction is the mean of."""
        return self.average if run.randomized else 1

    def check_classes(self, folder: Path, classes: int) -> None:
        """Refuse an attack that a network of this many classes does not admit."""
        if isinstance(self.attack, PGD) and self.attack.loss == "dlr" and classes < 3:
            raise UserError(f"{folder} has {classes} classes; --loss dlr needs at least 3, use --loss margin")
        if isinstance(self.attack, AutoAttack) and classes < FEWEST_CLASSES:
            raise UserError(f"{folder} has {classes} classes; AutoAttack needs at least {FEWEST_CLASSES}")

    def check(self, pairings: Sequence[Pairing]) -> None:
        """Refuse what these pairings cannot serve.

        Raises:
            UserError: restarts on a randomized network.
        """
        restarts = self.attack.restarts if isinstance(self.attack, PGD) else 1
        for pairing in pairings:
            if restarts > 1 and pairing.threat == "white" and pairing.target.randomized:
                raise UserError(
                    f"{pairing.target.folder} is randomized: the best of {restarts} restarts would owe much to luck; "
                    "use --eot in place of --restarts"
                )
