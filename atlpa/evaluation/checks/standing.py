"""What stands under all attacks together, what fell to which, and where: the number that is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
    """The worst case so far, image by image; of a model that draws, that of the strongest attack alone.

    Its images fall by chance sooner or later, and under enough attacks all of them would.

    Fields:
        stands: ``(N,)`` bool; at first which images are right clean.
        adversarial: ``(N, 3, H, W)``, where each fell; the image itself where it did not.
        felled_by: what felled each, a name; ``""`` where nothing did.
        draws: whether the model draws.
        images: as they are.
    """

    stands: Tensor
    adversarial: Tensor
    felled_by: list[str]
    draws: bool
    images: Tensor

    @classmethod
    def clean(cls, right: Tensor, images: Tensor, draws: bool) -> Standing:
        """Before any attack."""
        return cls(right.clone(), images.clone(), len(right) * [""], draws, images)

    @property
    def correct(self) -> str:
        """Which images stand, a 1 or 0 for each."""
        return "".join(str(int(stands)) for stands in self.stands.tolist())

    @property
    def refuting(self) -> dict[str, tuple[int, ...]]:
        """The places of the images that each attack felled, by its name."""
        names = dict.fromkeys(name for name in self.felled_by if name)
        return {name: tuple(i for i, by in enumerate(self.felled_by) if by == name) for name in names}

    def note(self, name: str, met: Met, attacked: Tensor) -> None:
        """An attack on some images ``(N,)``: of a model that draws, on all that are right."""
        if not self.draws:
            self._fell(name, met, self.stands & attacked & ~met.stands)
        elif met.stands.sum() < self.stands.sum():
            self.felled_by, self.adversarial = len(self.felled_by) * [""], self.images.clone()
            self.stands = attacked.clone()
            self._fell(name, met, attacked & ~met.stands)

    def _fell(self, name: str, met: Met, fell: Tensor) -> None:
        stage_of = {place: title for title, places in met.stages.items() for place in places}
        self.stands = self.stands & ~fell
        self.adversarial[fell] = met.adversarial[fell].to(self.adversarial)
        for place in torch.nonzero(fell).flatten().tolist():
            self.felled_by[place] = stage_of.get(place, name)
