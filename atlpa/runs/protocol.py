"""How runs are judged: an attack, its budgets and its images, as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from atlpa.attacks import Attack
from atlpa.errors import UserError
from atlpa.evaluation.attack_result import check_measurable


@dataclass(frozen=True)
class Protocol:
    """How runs are judged.

    Fields:
        attack: any attack; what of it serves a pairing is ``Attack.suited_to``'s to say.
        budgets: iteration budgets, ascending; the last is the attack's own, 1 for an attack that has none.
        limit: judge this many images, evenly spaced over the part; all if ``None``.
        seed: of random starts, noise and randomized networks' draws.
        draws: how often a randomized network is asked.
        average: how many draws its prediction is the mean of, each time, under attack too.
        eight_bit: whether transferred images are rounded to multiples of 1/255 within ε before they are shown.

    Raises:
        UserError: an attack that no evaluation can measure, or several budgets of one that restarts.
    """

    attack: Attack
    budgets: tuple[int, ...]
    limit: int | None = None
    seed: int = 0
    draws: int = 10
    average: int = 1
    eight_bit: bool = False

    def __post_init__(self) -> None:
        check_measurable(self.attack)
        if len(self.budgets) > 1 and getattr(self.attack, "restarts", 1) > 1:
            raise UserError(
                f"{len(self.budgets)} budgets of an attack that restarts, which touches only what stands at the last "
                "one; give a single budget"
            )

    def on(self, device: torch.device) -> Protocol:
        """The same on a device: what it would compute in another precision than asked is recorded as what it is."""
        return replace(self, attack=self.attack.on(device))

    def notes(self, device: torch.device) -> list[str]:
        """What may surprise a user, and what ``on`` changes there."""
        return [*self.attack.notes(self.budgets), *self.attack.device_notes(device)]
