"""An attack as single steps of single images, and what passes it costs."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from atlpa.attacks.rows import State
from atlpa.model_state import Logits
from atlpa.randomness import Generators


class Cost(NamedTuple):
    """Forward and backward passes, each of one batch of images."""

    forwards: int
    backwards: int


class Stepwise(Protocol):
    """An attack as single steps, each image by itself: an image that has fallen can make room for another.

    Images in one batch may have had different numbers of steps.
    """

    @property
    def title(self) -> str:
        """What a result calls it."""

    @property
    def iterations(self) -> int:
        """How many there are; an image that has had as many is looked at once more."""

    @property
    def exact(self) -> bool:
        """Whether what ``advance`` says of an image may judge it; in half precision it may not."""

    def prepare(self, model: Logits, images: Tensor) -> Logits:
        """What is asked: the model, or a faster copy for images such as these."""

    def begin(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators = None) -> State:
        """Where the first step starts."""

    def advance(
        self, model: Logits, state: Any, images: Tensor, labels: Tensor, generator: Generators = None
    ) -> tuple[State, Tensor]:
        """One step further, and which of the present ``state.adversarial`` fool the model, ``(B,)`` bool."""
