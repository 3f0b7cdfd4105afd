"""The fast gradient sign method (Goodfellow et al. 2014)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from atlpa.attacks.attack import Attack, Cost, Stepwise
from atlpa.attacks.pgd import PGD
from atlpa.component import PixelDistance
from atlpa.model_state import Logits
from atlpa.randomness import Generators


class FGSM(Attack):
    """One step of size ε from the image itself along the sign of the cross-entropy's input gradient.

    Fields:
        epsilon: ε, in units of the [0, 1] pixel range.
    """

    name = "fgsm"

    epsilon: PixelDistance = 0.25

    @property
    def stepwise(self) -> Stepwise:
        """PGD with a single step."""
        return PGD(epsilon=self.epsilon, step=self.epsilon or 1 / 256, iterations=1)

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """The adversarial images, once."""
        single = PGD(epsilon=self.epsilon, step=self.epsilon or 1 / 256, iterations=1)
        yield from single.iterates(model, images, labels, generator=generator)

    @property
    def takes_shares(self) -> bool:
        """Yes, as the cross-entropy does."""
        return True

    def cost(self) -> Cost:
        """One pass each way."""
        return Cost(1, 1)
