"""Random noise of an attack's size: the yardstick that any attack must beat by far."""

from __future__ import annotations

from torch import Tensor

from atlpa.attacks.inputs import AttackBatch
from atlpa.attacks.once import Once
from atlpa.component import PixelDistance
from atlpa.model_state import Logits
from atlpa.randomness import Generators, uniform


class Noise(Once, kw_only=False):
    """Uniform noise in [−ε, ε] on every pixel, clipped to [0, 1]. It looks at neither the model nor the label.

    Fields:
        epsilon: ε, in units of the [0, 1] pixel range.
    """

    epsilon: PixelDistance = 0.25

    def _attacked(self, model: Logits, batch: AttackBatch, generator: Generators) -> Tensor:
        del model
        return (batch.images + uniform(batch.images, self.epsilon, generator)).clamp(0, 1)
