"""What an attack did: which images stand, and how far they were really moved."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from atlpa.records import Budget

ROUNDING = 1e-6  # of float32 pixels


@dataclass
class Perturbation:
    """Per image, at each iteration budget; not a number where an image was not attacked.

    Fields:
        linf: ``(budgets, N)``, ‖δ‖∞.
        at_bound: ``(budgets, N)``, share of the pixels that are as far as ε and the [0, 1] range allow.
    """

    linf: Tensor
    at_bound: Tensor

    @classmethod
    def empty(cls, budgets: int, count: int) -> Perturbation:
        """Room for the measurements."""
        return cls(torch.full((budgets, count), torch.nan), torch.full((budgets, count), torch.nan))

    def note(self, row: int, positions: Tensor, measured: Tensor, epsilon: float) -> None:
        """Keep what was measured ``(4, B)`` at some positions of one budget's row; this waits for the device.

        Raises:
            AssertionError: the attack left the ε-ball or the pixel range; its result would be worthless.
        """
        linf, at_bound, lowest, highest = measured.cpu()
        assert lowest.min() >= 0, "adversarial pixels below 0"
        assert highest.max() <= 1, "adversarial pixels above 1"
        assert linf.max() <= epsilon + ROUNDING, f"the perturbation is {linf.max():g}, ε is {epsilon:g}"
        self.linf[row, positions], self.at_bound[row, positions] = linf, at_bound


def measure(adversarial: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """What was done to each of some images ``(B, 3, H, W)``, left on their device, so that nobody waits for it.

    Returns:
        ``(4, B)``: ‖δ‖∞, the share of pixels at their bound, and the lowest and the highest adversarial pixel.
    """
    change, pixels = (adversarial - images).abs(), (1, 2, 3)
    stopped = (change > 0) & ((change >= epsilon - ROUNDING) | (adversarial <= 0) | (adversarial >= 1))
    found = (change.amax(pixels), stopped.float().mean(pixels), adversarial.amin(pixels), adversarial.amax(pixels))
    return torch.stack([numbers.float() for numbers in found])


@dataclass(frozen=True)
class AttackResult:
    """What an evaluation found.

    Fields:
        clean: ``(draws, N)`` bool, right without an attack; one draw of a network that does not draw.
        correct: ``(budgets, draws, N)`` bool, right at each iteration budget.
        perturbation: how far the images were moved.
        steps: forward and backward passes of PGD, counted in images; ``None`` for other attacks.
    """

    clean: Tensor
    correct: Tensor
    perturbation: Perturbation
    steps: int | None

    def standing(self) -> AttackResult:
        """The outcome by the white-box rule: an image that is wrong clean does not count as right under attack.

        For a randomized network shown the images that were made on itself; each draw is judged by itself.
        """
        return replace(self, correct=self.correct & self.clean)

    def clean_verdicts(self) -> tuple[str, ...]:
        """``clean`` as a record holds it."""
        return _verdicts(self.clean)

    def budget(self, row: int, iterations: int) -> Budget:
        """One row as a record holds it."""
        linf = self.perturbation.linf[row]
        attacked = ~linf.isnan()
        return Budget(
            iterations=iterations,
            correct=_verdicts(self.correct[row]),
            linf_max=linf[attacked].max().item() if attacked.any() else 0.0,
            linf_mean=linf[attacked].mean().item() if attacked.any() else 0.0,
            at_bound=self.perturbation.at_bound[row][attacked].mean().item() if attacked.any() else 0.0,
        )


def _verdicts(right: Tensor) -> tuple[str, ...]:
    return tuple("".join("1" if value else "0" for value in draw) for draw in right.tolist())
