"""The attacks of a single step: FGSM (Goodfellow et al. 2014), and what makes it train better."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from torch import Tensor

from atlpa.attacks.attack import Attack, Cost
from atlpa.attacks.pgd import PGD
from atlpa.component import Number, PixelDistance
from atlpa.model_state import Logits
from atlpa.randomness import Generators, uniform

Multiple = Annotated[Number, Field(gt=0)]
"""A distance as a multiple of ε."""


class FGSM(Attack):
    """One step of size ε from the image itself along the sign of the cross-entropy's input gradient.

    Fields:
        epsilon: ε, in units of the [0, 1] pixel range.
    """

    name = "fgsm"

    epsilon: PixelDistance = 0.25

    @property
    def stepwise(self) -> PGD:
        """PGD with a single step."""
        return PGD(epsilon=self.epsilon, step=self.epsilon or 1 / 256, iterations=1)

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """The adversarial images, once."""
        yield from self.stepwise.iterates(model, images, labels, generator=generator)

    def cost(self) -> Cost:
        """One pass each way."""
        return Cost(1, 1)


class RSFGSM(FGSM):
    """FGSM from a uniformly random start (Wong et al. 2020): one step of α·ε, projected back to the ε-ball and [0, 1].

    Fields:
        epsilon: ε, in units of the [0, 1] pixel range.
        alpha: α, the step as a multiple of ε; from 2 on every pixel whose gradient is not 0 ends at its bound.
    """

    name = "rs_fgsm"

    epsilon: PixelDistance = 8 / 255
    alpha: Multiple = 1.25

    @property
    def stepwise(self) -> PGD:
        """PGD with a single step."""
        # A step of 1 spans all pixels, and a longer one goes no further.
        step = min(1.0, self.alpha * self.epsilon) or 1 / 256
        return PGD(epsilon=self.epsilon, step=step, iterations=1, start="uniform")


class NFGSM(Attack):
    """One step from strong noise, for training alone (de Jorge et al. 2022, N-FGSM).

    With η ~ U(−k·ε, k·ε), x′ = clip(x + η, [0, 1]), then clip(x′ + α·ε·sign(∇ₓ′L), [0, 1]). Nothing is projected back
    to the ε-ball: a pixel may move by (k + α)·ε, so that no evaluation takes it.

    Fields:
        epsilon: ε, in units of the [0, 1] pixel range.
        noise: k, the bound of the noise as a multiple of ε; the source takes 2, on ImageNet 1.
        alpha: α, the step as a multiple of ε.
    """

    name = "n_fgsm"
    bounded = False

    epsilon: PixelDistance = 8 / 255
    noise: Annotated[Number, Field(ge=0)] = 2.0
    alpha: Multiple = 1.0

    def perturb(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> Tensor:
        """The images that are trained on."""
        noisy = (images + uniform(images, self.noise * self.epsilon, generator)).clamp(0, 1)
        return FGSM(min(1.0, self.alpha * self.epsilon))(model, noisy, labels, generator=generator)

    @property
    def takes_shares(self) -> bool:
        """Yes, as the cross-entropy does."""
        return True

    def cost(self) -> Cost:
        """One pass each way."""
        return Cost(1, 1)
