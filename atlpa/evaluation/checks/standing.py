"""What stands under all attacks together, what fell to which, and where: the number that is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Met:
    """What came of an attack.

    Fields:
        stands: ``(N,)`` bool, which images stand; none that was not attacked does.
        adversarial: ``(N, 3, H, W)``, what each was made; where it fell, if it did.
        at: ``(N,)`` each, what stood at each of several budgets.
        stages: the places of what each stage felled, by its title, if there are several.
    """

    stands: Tensor
    adversarial: Tensor
    at: Sequence[Tensor] = ()
    stages: Mapping[str, Sequence[int]] = field(default_factory=dict)


Attempt = tuple[str, Callable[[Tensor], Met]]
"""An attack's name; and what comes of it, on some of the images, ``(N,)`` bool."""


@dataclass
class Standing:
    """The worst case so far, image by image.

    Fields:
        stands: ``(N,)`` bool; at first which images are right clean.
        adversarial: ``(N, 3, H, W)``, where each fell; the image itself where it did not.
        felled_by: what felled each, a name; ``""`` where nothing did.
    """

    stands: Tensor
    adversarial: Tensor
    felled_by: list[str]

    @classmethod
    def clean(cls, right: Tensor, images: Tensor) -> Self:
        """Before any attack."""
        return cls(right.clone(), images.clone(), len(right) * [""])

    @property
    def correct(self) -> tuple[str, ...]:
        """Which images stand, a 1 or 0 for each; a string for each draw, of a model that does not draw one."""
        return (bits(self.stands),)

    @property
    def refuting(self) -> dict[str, tuple[int, ...]]:
        """The places of the images that each attack felled, by its name."""
        names = dict.fromkeys(name for name in self.felled_by if name)
        return {name: tuple(i for i, by in enumerate(self.felled_by) if by == name) for name in names}

    def note(self, name: str, met: Met, attacked: Tensor) -> None:
        """An attack on some images ``(N,)``."""
        fell = self.stands & attacked & ~met.stands
        stage_of = {place: title for title, places in met.stages.items() for place in places}
        self.stands = self.stands & ~fell
        self.adversarial[fell] = met.adversarial[fell].to(self.adversarial)
        for place in torch.nonzero(fell).flatten().tolist():
            self.felled_by[place] = stage_of.get(place, name)


@dataclass
class DrawnStanding(Standing):
    """What stands of a model that draws: under the strongest attack alone, since images fall by chance sooner or later.

    Of many attacks the strongest is the luckiest, too, and what most draws get right is more than one draw does. So in
    the end its images are shown again, and the accuracy is the mean over those draws.

    Fields:
        stands: likewise, in most draws.
        adversarial: what the strongest attack made of each image.
        felled_by: likewise, that attack's name.
        strongest: that name.
        answers: which images ``(N,)`` stand, in each draw in the end.
    """

    strongest: str = ""
    answers: Sequence[Tensor] = ()

    @property
    def correct(self) -> tuple[str, ...]:
        """A string for each draw."""
        return tuple(bits(answer) for answer in self.answers or (self.stands,))

    def note(self, name: str, met: Met, attacked: Tensor) -> None:
        """An attack on all images, of which some ``(N,)`` are right clean."""
        if (attacked & met.stands).sum() < self.stands.sum():
            self.strongest, self.adversarial = name, met.adversarial.to(self.adversarial)
            self._decide(attacked & met.stands, attacked)

    def settle(self, answers: Sequence[Tensor], attacked: Tensor) -> None:
        """Which of ``adversarial`` are right ``(N,)``, in each of several draws; and which are so clean."""
        self.answers = answers
        self._decide(2 * torch.stack(list(answers)).sum(dim=0) > len(answers), attacked)

    def _decide(self, stands: Tensor, attacked: Tensor) -> None:
        self.stands = stands
        self.felled_by = [self.strongest if fell else "" for fell in (attacked & ~stands).tolist()]


def bits(stands: Tensor) -> str:
    """A 1 or 0 for each."""
    return "".join("01"[one] for one in stands.tolist())
