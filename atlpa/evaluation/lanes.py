"""The images that a white-box attack has in hand, and what is known of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from atlpa.evaluation.outcome import Perturbation


@dataclass(frozen=True)
class Lanes:
    """One lane for each image under attack; indexing chooses lanes, adding puts them behind each other.

    Fields:
        where: ``(B,)``, its position in the data.
        age: ``(B,)``, how many iterations it has had.
        origin: ``(B, 3, H, W)``, the clean image.
        iterate: likewise, where the attack has come to.
        following: likewise, where its next iteration leads.
        labels: ``(B,)``.
    """

    where: Tensor
    age: Tensor
    origin: Tensor
    iterate: Tensor
    following: Tensor
    labels: Tensor

    def __iter__(self) -> Iterator[Tensor]:
        return (getattr(self, field.name) for field in fields(self))

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, chosen: Tensor | slice) -> Lanes:
        return Lanes(*(part[chosen] for part in self))

    def __add__(self, more: Lanes) -> Lanes:
        return Lanes(*(torch.cat(parts) for parts in zip(self, more, strict=True)))

    def moved(self) -> Lanes:
        """Each one iteration further."""
        return replace(self, age=self.age + 1, iterate=self.following)


class Ledger:
    """What is known of every image so far.

    Args:
        clean: ``(N,)`` bool, which are right without an attack.
        budgets: iteration budgets, ascending.
        epsilon: the attack's.

    Fields:
        fell_at: ``(N,)``, the first iterate that is wrong; 0 where the image itself is, more than the last budget where
            none is.
        perturbation: what was realised at each budget.
    """

    def __init__(self, clean: Tensor, budgets: Sequence[int], epsilon: float) -> None:
        self.budgets, self.epsilon, self.last = budgets, epsilon, budgets[-1]
        self.fell_at = torch.where(clean, self.last + 1, 0)
        self.perturbation = Perturbation.empty(len(budgets), len(clean))

    def settle(self, lanes: Lanes, fallen: Tensor) -> int:
        """Note which of these lanes have fallen at their present iterate, a bool each; gives how many are done."""
        for row, budget in enumerate(self.budgets):
            reached = (lanes.age == budget) | (fallen & (lanes.age < budget))
            if reached.any():
                found = lanes[reached]
                self.perturbation.note(row, found.where, found.iterate, found.origin, self.epsilon)
        self.fell_at[lanes.where[fallen]] = lanes.age[fallen].clamp(min=1)
        return int((fallen | (lanes.age == self.last)).sum())

    @property
    def standing(self) -> Tensor:
        """Positions of the images that stand at every iterate so far."""
        return torch.nonzero(self.fell_at > self.last).flatten()
