"""Random noise of an attack's size, the yardstick that any attack must beat by far; and no attack at all."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from atlpa.attacks.attack import Attack
from atlpa.attacks.stepwise import Cost
from atlpa.field_types import PixelDistance
from atlpa.model_state import Logits
from atlpa.randomness import Generators, uniform


class Noise(Attack):
    """Uniform noise in [−ε, ε] on every pixel, clipped to [0, 1]. It looks at neither the model nor the label.

    Fields:
        epsilon: ε, in units of the [0, 1] pixel range. Default: the smaller of the paper's two.
    """

    name = "noise"
    gradients = False
    transferable = False

    epsilon: PixelDistance = 0.25

    def perturb(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> Tensor:
        """The noisy images."""
        del model, labels
        return (images + uniform(images, self.epsilon, generator)).clamp(0, 1)

    @property
    def takes_shares(self) -> bool:
        """Yes: labels are not looked at."""
        return True

    def cost(self) -> Cost:
        """None."""
        return Cost(0, 0)


class NoAttack(Attack):
    """The images as they are."""

    name = "none"
    gradients = False
    transferable = False

    epsilon: Annotated[PixelDistance, Field(le=0)] = 0.0

    def perturb(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> Tensor:
        """The images themselves."""
        del model, labels, generator
        return images

    @property
    def takes_shares(self) -> bool:
        """Yes: labels are not looked at."""
        return True

    def cost(self) -> Cost:
        """None."""
        return Cost(0, 0)
