"""What is certain of a network on some images, as a record holds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from atlpa.records.checked import Line, Share
from atlpa.records.record import MeasuredRecord

Method = Literal["ibp", "crown"]
"""How a bound is found: by intervals, or by linear functions carried back to the image."""

Verdicts = Annotated[str, Field(pattern="^[01]+$")]
"""A character for each image, in the order of the data."""


class Bound(MeasuredRecord):
    """One network's certified lower bound at one ε. Nothing is drawn for it; ``seed`` is 0.

    Fields:
        method: how it was found.
        epsilon: ε of the L∞ ball, in units of the [0, 1] pixel range.
        clean: per image, whether the network is right without an attack.
        certified: per image, whether no image within ε is taken for another class; ``null`` with an obstacle.
        obstacle: the operation of which no bound is known, where the network has one.
    """

    kind: Literal["bound"] = "bound"
    method: Method
    epsilon: Share
    clean: Verdicts
    certified: Verdicts | None
    obstacle: Line | None = None

    def contradictions(self) -> Iterator[str]:
        """Other images than said, certified ones that are wrong clean, or verdicts beside an obstacle."""
        for name, verdicts in (("clean", self.clean), ("certified", self.certified)):
            if verdicts is not None and len(verdicts) != self.data.count:
                yield f"{name}: verdicts on {len(verdicts)} images, but data.count is {self.data.count}"
        if (self.certified is None) != (self.obstacle is not None):
            yield "there are verdicts, or an obstacle to them, and never both"
        if ("0", "1") in set(zip(self.clean, self.certified or "", strict=False)):
            yield "an image is certified, but wrong clean"
