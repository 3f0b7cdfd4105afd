"""The strongest judge: an ensemble of attacks, each on what the former left (after AutoAttack, Croce & Hein 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from atlpa.attacks.apgd import APGD
from atlpa.attacks.attack import Attack, Stepwise
from atlpa.attacks.fab import FAB
from atlpa.attacks.square import Square
from atlpa.component import PixelDistance
from atlpa.engine import Engine, Precision

MOST_TARGETS = 9


class Ensemble(Attack):
    """Auto-PGD on cross-entropy, Auto-PGD and FAB that aim at up to nine classes each, and Square.

    Fields:
        epsilon: ε of the L∞ ball, in units of the [0, 1] pixel range.
        version: ``standard`` has AutoAttack's iterations.
        engine: what gradients are computed on, as of ``PGD``.
        precision: of gradients and queries, as of ``PGD``; what judges is always the model itself.
    """

    name = "ensemble"
    transferable = False

    epsilon: PixelDistance = 8 / 255
    version: Literal["standard", "fast", "rand"] = "standard"
    engine: Engine = "auto"
    precision: Precision = "fp32"

    def stages(self, classes: int) -> Sequence[Stepwise]:
        how: dict[str, Any] = {"engine": self.engine, "precision": self.precision}
        ranks = range(1, min(MOST_TARGETS, classes - 1) + 1)
        return (
            APGD(self.epsilon, **how),
            *(APGD(self.epsilon, loss="dlr", target=rank, **how) for rank in ranks),
            *(FAB(self.epsilon, target=rank, **how) for rank in ranks),
            Square(self.epsilon, 5000, **how),
        )
