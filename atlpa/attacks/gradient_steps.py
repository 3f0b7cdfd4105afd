"""What attacks have in common that take single steps by PGD's gradients and remember more than a point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from atlpa.attacks.attack import Attack
from atlpa.attacks.inputs import AttackBatch
from atlpa.attacks.pgd import PGD
from atlpa.attacks.rows import State
from atlpa.attacks.with_precision import WithPrecision
from atlpa.model_state import Logits
from atlpa.randomness import Generators


class GradientSteps(WithPrecision, Attack, ABC):
    """Base of Auto-PGD and FAB: one stage, image by image."""

    @property
    @abstractmethod
    def _pgd(self) -> PGD:
        """What has the same start and the same gradients."""

    @abstractmethod
    def _begin(self, model: Logits, batch: AttackBatch, generator: Generators) -> Any: ...

    @abstractmethod
    def _advance(self, model: Logits, state: Any, batch: AttackBatch, generator: Generators) -> tuple[Any, Tensor]: ...

    def begin(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators = None) -> State:
        """Where the first step starts, and what the clean images tell of the way."""
        start: State = self._begin(model, AttackBatch(images.detach(), labels), generator)
        return start

    def advance(
        self, model: Logits, state: Any, images: Tensor, labels: Tensor, generator: Generators = None
    ) -> tuple[State, Tensor]:
        """One step further, and which of the present points fool the model within ε (mean over draws), ``(B,)``."""
        return self._advance(model, state, AttackBatch(images.detach(), labels), generator)

    def prepare(self, model: Logits, images: Tensor) -> Logits:
        """What gradients are computed on, as of ``PGD``."""
        return self._pgd.prepare(model, images)

    def stages(self, classes: int) -> Sequence[Any]:
        """Itself."""
        del classes
        return (self,)
