"""What attacks have in common that look for the nearest image that fools, not for any within ε."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from atlpa.attacks.gradient_steps import GradientSteps
from atlpa.attacks.rows import State


@dataclass(frozen=True)
class NearestState(State):
    """Where the search for the nearest has come to.

    Fields:
        adversarial: ``(B, 3, H, W)``, the point, cut to the ε-ball.
        point: likewise, wherever it is in [0, 1].
        closest: ``(B,)``, ‖δ‖ of the nearest point so far that fools the model; the farthest there is where none does.
    """

    point: Tensor
    closest: Tensor


class MinimumNorm(GradientSteps):
    """Base of FAB and FMN: ε is the farthest that counts, and states hold how near the nearest is."""

    transferable = False
    minimal = True

    def gap(self, state: NearestState) -> Tensor:
        """How far beyond ε the nearest point that fools the model is, ``(B,)``."""
        return state.closest - self.epsilon
