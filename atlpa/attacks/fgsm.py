"""The attacks of a single step: FGSM (Goodfellow et al. 2014), and what makes it train better."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from atlpa.attacks.attack import Attack
from atlpa.attacks.inputs import check_batch
from atlpa.attacks.pgd import PGD
from atlpa.attacks.stepwise import Cost
from atlpa.attacks.with_precision import WithPrecision
from atlpa.engine import Engine, Precision
from atlpa.field_types import Number, PixelDistance
from atlpa.model_state import Logits
from atlpa.randomness import Generators, uniform

Multiple = Annotated[Number, Field(gt=0)]
"""A distance as a multiple of ε."""


class SingleStep(WithPrecision, Attack, ABC):
    """Base of the attacks that are PGD's single step from one point or another."""

    @property
    @abstractmethod
    def step(self) -> PGD:
        """The step that is taken."""

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """The adversarial images, once."""
        yield from self.step.iterates(model, images, labels, generator=generator)

    @property
    def takes_shares(self) -> bool:
        """Yes, as the cross-entropy does."""
        return True

    def cost(self) -> Cost:
        """One pass each way."""
        return Cost(1, 1)


class FGSM(SingleStep):
    """One step of size ε from the image itself along the sign of the cross-entropy's input gradient.

    Fields:
        epsilon: ε, in units of the [0, 1] pixel range. Default: the smaller of the paper's two.
        engine: what the gradient is computed on, as of ``PGD``.
        precision: of the gradient, as of ``PGD``.

    Examples:
        >>> import torch
        >>> from atlpa.attacks import FGSM
        >>> def brightness(images):  # two classes: light, dark
        ...     light = images.mean(dim=(1, 2, 3))
        ...     return torch.stack([light, 1 - light], dim=1)

        >>> images, labels = torch.full((1, 3, 4, 4), 0.6), torch.tensor([0])
        >>> adversarial = FGSM(epsilon=0.2)(brightness, images, labels)
        >>> round(adversarial.max().item(), 4)
        0.4
    """

    name = "fgsm"

    epsilon: PixelDistance = 0.25
    engine: Engine = "auto"
    precision: Precision = "fp32"

    @property
    def step(self) -> PGD:
        """From the image."""
        return PGD(self.epsilon, self.epsilon or 1 / 256, 1, engine=self.engine, precision=self.precision)

    def stages(self, classes: int) -> Sequence[PGD]:
        """The single step of each image."""
        del classes
        return (self.step,)


class RSFGSM(SingleStep):
    """FGSM from a uniformly random start (Wong et al. 2020): one step of α·ε, projected back to the ε-ball and [0, 1].

    Fields:
        epsilon: ε, in units of the [0, 1] pixel range. Default: the field's.
        alpha: α, the step as a multiple of ε; from 2 on every pixel whose gradient is not 0 ends at its bound. Default:
            the source's.
        engine: what the gradient is computed on, as of ``PGD``.
        precision: of the gradient, as of ``PGD``.
    """

    name = "rs_fgsm"

    epsilon: PixelDistance = 8 / 255
    alpha: Multiple = 1.25
    engine: Engine = "auto"
    precision: Precision = "fp32"

    @property
    def step(self) -> PGD:
        """From a random start; a step of 1 spans all pixels, and a longer one goes no further."""
        size = min(1.0, self.alpha * self.epsilon) or 1 / 256
        return PGD(self.epsilon, size, 1, start="uniform", engine=self.engine, precision=self.precision)

    def stages(self, classes: int) -> Sequence[PGD]:
        """The single step of each image."""
        del classes
        return (self.step,)


class NFGSM(SingleStep):
    """One step from strong noise, for training alone (de Jorge et al. 2022, N-FGSM).

    With η ~ U(−k·ε, k·ε), x′ = clip(x + η, [0, 1]), then clip(x′ + α·ε·sign(∇ₓ′L), [0, 1]). Nothing is projected back
    to the ε-ball: a pixel may move by (k + α)·ε, so that no evaluation takes it.

    Fields:
        epsilon: ε, in units of the [0, 1] pixel range. Default: the field's.
        noise: k, the bound of the noise as a multiple of ε; the source takes 2, on ImageNet 1. Default: the source's on
            small images.
        alpha: α, the step as a multiple of ε. Default: the source's.
        engine: what the gradient is computed on, as of ``PGD``.
        precision: of the gradient, as of ``PGD``.
    """

    name = "n_fgsm"
    bounded = False

    epsilon: PixelDistance = 8 / 255
    noise: Annotated[Number, Field(ge=0)] = 2.0
    alpha: Multiple = 1.0
    engine: Engine = "auto"
    precision: Precision = "fp32"

    @property
    def step(self) -> PGD:
        """From the noisy image, which it is not projected back from."""
        return FGSM(min(1.0, self.alpha * self.epsilon), self.engine, self.precision).step

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """The images that are trained on, once."""
        batch = check_batch(images, labels, shares=True)
        noisy = (batch.images + uniform(batch.images, self.noise * self.epsilon, generator)).clamp(0, 1)
        yield from self.step.iterates(model, noisy, batch.labels, generator=generator)
