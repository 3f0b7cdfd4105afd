"""How far each image must be moved to fool a network, as a record holds it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from atlpa.field_types import FromList
from atlpa.records.attack_settings import AttackSettings
from atlpa.records.checked import Length
from atlpa.records.record import MeasuredRecord


class Distances(MeasuredRecord):
    """One network, and the nearest image that fools it from each image, as far as an attack could tell.

    Fields:
        attack: the attack's name and settings, at the largest ε.
        epsilons: every ε that was asked about, ascending.
        distances: per image, an upper bound; 0 where it is wrong as it is, ``None`` where it stands at the largest ε.
        steps: forward and backward passes, counted in images.
    """

    kind: Literal["distances"] = "distances"
    attack: AttackSettings
    epsilons: Annotated[tuple[Length, ...], FromList, Field(min_length=2)]
    distances: Annotated[tuple[Length | None, ...], FromList, Field(min_length=1)]
    steps: Annotated[int, Field(ge=0)]

    @property
    def norm(self) -> str:
        """In which distances are measured, ``Linf`` or ``L2``."""
        return str(self.attack.get("norm", "Linf"))

    @property
    def bounds(self) -> list[float]:
        """The distances, infinite where there is none."""
        return [math.inf if distance is None else distance for distance in self.distances]

    def standing(self, epsilon: float) -> str:
        """Per image, whether it stands at an ε, as evaluations hold it: 1 where nothing within ε is known to fool."""
        return "".join("1" if bound > epsilon else "0" for bound in self.bounds)

    def contradictions(self) -> Iterator[str]:
        """Other images than said, an ε out of order, and distances beyond the largest."""
        if len(self.distances) != self.data.count:
            yield f"{len(self.distances)} distances, but data.count is {self.data.count}"
        if self.epsilons[0] <= 0:
            yield "the epsilons start at 0, where images are clean"
        if any(before >= after for before, after in pairwise(self.epsilons)):
            yield "the epsilons do not ascend"
        last = self.epsilons[-1]
        if self.attack["epsilon"] != last:
            yield f"the largest of the epsilons is {last:g}, but the attack's is {self.attack['epsilon']:g}"
        if (most := max((distance or 0.0) for distance in self.distances)) > last:
            yield f"a distance is {most:g}, but the largest of the epsilons is {last:g}"
