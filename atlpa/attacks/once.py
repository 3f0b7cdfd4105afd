"""What attacks without iterations of their own share: they have one iterate."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from torch import Tensor

from atlpa.attacks.inputs import AttackBatch, check_batch
from atlpa.component import Component, PixelDistance
from atlpa.model_state import Logits
from atlpa.randomness import Generators


class Once(Component):
    """An attack that gives its images at once.

    Fields:
        epsilon: ε of the L∞ ball, in units of the [0, 1] pixel range.
    """

    epsilon: PixelDistance

    def __call__(self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None) -> Tensor:
        """Attack a batch ``(B, 3, H, W)``; arguments, result and errors are those of every attack."""
        return self._attacked(model, check_batch(images, labels), generator)

    @abstractmethod
    def _attacked(self, model: Logits, batch: AttackBatch, generator: Generators) -> Tensor:
        """What becomes of images that can be attacked."""

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """The images, once."""
        yield self(model, images, labels, generator=generator)

    def notes(self, budgets: Sequence[int] = ()) -> list[str]:
        """Nothing surprises."""
        del budgets
        return []
