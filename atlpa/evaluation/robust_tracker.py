"""What is known of every image under attack: at which iterate it fell, and how far it was moved."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from atlpa.attacks import Attack
from atlpa.evaluation.active_batch import ActiveBatch
from atlpa.evaluation.attack_result import Perturbation, measure


class RobustTracker:
    """The first failing iterate of each image, noted as the attack goes on.

    Args:
        candidates: ``(N,)`` bool, which images are attacked: those that are right without an attack.
        budgets: iteration budgets, ascending.
        attack: what attacks them.
        adversarial: ``(N, 3, H, W)`` to be filled with where each image fell or stood at last, if that is wanted.

    Fields:
        failed_at: ``(N,)``, the first iterate that is wrong; 0 where the image is no candidate, more than the last
            budget where none is.
        felled_in: ``(N,)``, the stage of the attack that felled each image; -1 where none did.
    """

    def __init__(
        self, candidates: Tensor, budgets: Sequence[int], attack: Attack, adversarial: Tensor | None = None
    ) -> None:
        self.budgets, self.attack, self.last = budgets, attack, budgets[-1]
        self.failed_at = torch.where(candidates, self.last + 1, 0)
        self.felled_in = torch.full_like(self.failed_at, -1)
        self.adversarial = adversarial
        self._measured: list[tuple[int, Tensor, Tensor]] = []  # not looked at yet, which would wait for the device

    def update(self, batch: ActiveBatch, fallen: Tensor, stage: int = 0) -> None:
        """Note which images have fallen at their present iterate, a bool each.

        Args:
            batch: the images.
            fallen: ``(B,)`` bool on the CPU.
            stage: of the attack; its end is the last budget, whatever it is called.
        """
        done = fallen | batch.over
        for row, budget in enumerate(self.budgets):
            reached = done if row == len(self.budgets) - 1 else (batch.age == budget) | (fallen & (batch.age < budget))
            if reached.any():
                found = batch[reached]
                measured = measure(found.adversarial, found.images, self.attack)
                self._measured.append((row, found.positions, measured))
        self.failed_at[batch.positions[fallen]] = batch.age[fallen].clamp(1, self.last)
        self.felled_in[batch.positions[fallen]] = stage
        if self.adversarial is not None and done.any():
            found = batch[done]
            self.adversarial[found.positions] = found.adversarial.to(self.adversarial)

    @property
    def robust(self) -> Tensor:
        """``(budgets, N)`` bool, which images are right at every iterate up to each budget."""
        return torch.stack([self.failed_at > budget for budget in self.budgets])

    def felled_by(self, titles: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """The positions of the images that each stage felled, by the stages' titles; nothing where all have one."""
        if len(set(titles)) < 2:
            return {}
        found: dict[str, list[int]] = {title: [] for title in titles}
        for position in torch.nonzero(self.felled_in >= 0).flatten().tolist():
            found[titles[int(self.felled_in[position])]].append(position)
        return {title: tuple(positions) for title, positions in found.items()}

    @property
    def perturbation(self) -> Perturbation:
        """What was realized at each budget.

        Raises:
            ValueError: it left the ε-ball or the pixel range.
        """
        realized = Perturbation.empty(self.attack, len(self.budgets), len(self.failed_at))
        for row, positions, measured in self._measured:
            realized.note(row, positions, measured)
        return realized
