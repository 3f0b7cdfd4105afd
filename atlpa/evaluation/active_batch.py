"""The images that a white-box attack has in hand, and what is known of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from atlpa.evaluation.attack_result import Perturbation, measure


@dataclass(frozen=True)
class ActiveBatch:
    """One lane for each image under attack; indexing chooses lanes, adding puts them behind each other.

    What decides lies on the CPU, and the rest on the model's device, which neither operation waits for.

    Fields:
        where: ``(B,)`` on the CPU, its position in the data.
        age: ``(B,)`` on the CPU, how many iterations it has had.
        origin: ``(B, 3, H, W)``, the clean image.
        iterate: likewise, where the attack has come to.
        following: likewise, where its next iteration leads.
        labels: ``(B,)``.
    """

    where: Tensor
    age: Tensor
    origin: Tensor
    iterate: Tensor
    next_adversarial: Tensor
    labels: Tensor

    def __iter__(self) -> Iterator[Tensor]:
        return (getattr(self, field.name) for field in fields(self))

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, chosen: Tensor | slice) -> ActiveBatch:
        """Those of a slice, or of a bool for each on the CPU."""
        if isinstance(chosen, slice):
            return ActiveBatch(*(part[chosen] for part in self))
        if chosen.all():
            return self
        places = torch.nonzero(chosen).flatten()
        on = {part.device: places.to(part.device, non_blocking=True) for part in self}
        return ActiveBatch(*(part[on[part.device]] for part in self))

    def __add__(self, more: ActiveBatch) -> ActiveBatch:
        if not (len(self) and len(more)):
            return self if len(self) else more
        return ActiveBatch(*(torch.cat(parts) for parts in zip(self, more, strict=True)))

    def moved(self) -> ActiveBatch:
        """Each one iteration further."""
        return replace(self, age=self.age + 1, iterate=self.next_adversarial)


class RobustTracker:
    """What is known of every image so far.

    Args:
        clean: ``(N,)`` bool, which are right without an attack.
        budgets: iteration budgets, ascending.
        epsilon: the attack's.

    Fields:
        fell_at: ``(N,)``, the first iterate that is wrong; 0 where the image itself is, more than the last budget where
            none is.
        measured: the row of a budget, positions, and what was measured at them, not looked at yet.
    """

    def __init__(self, clean: Tensor, budgets: Sequence[int], epsilon: float) -> None:
        self.budgets, self.epsilon, self.last = budgets, epsilon, budgets[-1]
        self.failed_at = torch.where(clean, self.last + 1, 0)
        self.measured: list[tuple[int, Tensor, Tensor]] = []

    def update(self, lanes: ActiveBatch, fallen: Tensor) -> int:
        """Note which of these lanes have fallen at their present iterate, a bool each; gives how many are done."""
        for row, budget in enumerate(self.budgets):
            reached = (lanes.age == budget) | (fallen & (lanes.age < budget))
            if reached.any():
                found = lanes[reached]
                self.measured.append((row, found.where, measure(found.iterate, found.origin, self.epsilon)))
        self.failed_at[lanes.where[fallen]] = lanes.age[fallen].clamp(min=1)
        return int((fallen | (lanes.age == self.last)).sum())

    def perturbation(self) -> Perturbation:
        """What was realised at each budget.

        Raises:
            AssertionError: the attack left the ε-ball or the pixel range.
        """
        realised = Perturbation.empty(len(self.budgets), len(self.failed_at))
        for row, where, measured in self.measured:
            realised.note(row, where, measured, self.epsilon)
        return realised

    @property
    def standing(self) -> Tensor:
        """Positions of the images that stand at every iterate so far."""
        return torch.nonzero(self.failed_at > self.last).flatten()
