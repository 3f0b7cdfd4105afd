"""What an attack did: which images stand, and how far they were really moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from atlpa.attacks import Attack
from atlpa.errors import UserError
from atlpa.records import Budget
from atlpa.statistics import share

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

    def note(self, row: int, positions: Tensor, measured: Tensor, epsilon: float, attack: str) -> None:
        """Keep what was measured ``(4, B)`` at some positions of one budget's row; this waits for the device.

        Raises:
            UserError: the attack of this name left the ε-ball or the pixel range; its result would be worthless.
        """
        linf, at_bound, lowest, highest = measured.cpu()
        if not (lowest.min() >= 0 and highest.max() <= 1):
            raise UserError(
                f"the attack {attack} gave pixels from {lowest.min():g} to {highest.max():g}, not in [0, 1]"
            )
        if not linf.max() <= epsilon + ROUNDING:
            raise UserError(f"the attack {attack} moved a pixel by {linf.max():g}, further than its ε {epsilon:g}")
        self.linf[row, positions], self.at_bound[row, positions] = linf, at_bound


def check_measurable(attack: Attack) -> None:
    """Refuse an attack of training alone, and one whose ε is measured in another norm than what it did is.

    Raises:
        UserError: its images leave the ε-ball on purpose, or its norm is not L∞.
    """
    if not attack.bounded:
        raise UserError(
            f"the attack {attack.name} is for training: its images leave the ε-ball on purpose; judge with another, "
            "such as pgd, apgd or autoattack"
        )
    if attack.norm != "Linf":
        raise UserError(f"the attack {attack.name} measures ε in {attack.norm}; evaluations measure L∞: set norm=Linf")


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
    """What an evaluation found. Printed, it is a line: robust accuracy with its 95 % interval, clean accuracy, ‖δ‖∞.

    Fields:
        clean: ``(draws, N)`` bool, right without an attack; one draw of a network that does not draw.
        robust: ``(budgets, draws, N)`` bool, right under attack at each iteration budget; white-box, right clean too.
        budgets: the iteration budgets.
        perturbation: how far the images were moved.
        passes: forward and backward passes, counted in images; ``None`` where they are not known.
        adversarial: ``(N, 3, H, W)`` on the CPU, the images of the last budget, if they were asked for.
        felled_by: of an attack in several stages, the positions of the images that each of them felled, by its title.
    """

    clean: Tensor
    robust: Tensor
    budgets: tuple[int, ...]
    perturbation: Perturbation
    passes: int | None = None
    adversarial: Tensor | None = None
    felled_by: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def clean_accuracy(self) -> float:
        """Share of the images that are right without an attack, mean over draws."""
        return self.clean.float().mean().item()

    @property
    def robust_accuracy(self) -> float:
        """Share of the images that stand at the last budget, mean over draws."""
        return self.robust[-1].float().mean().item()

    def __str__(self) -> str:
        """Such as ``robust 24.2 % [19.8, 29.1] of 340 · clean 66.1 % · ‖δ‖∞ 0.0314``."""
        shares = [share(as_strings(robust)) for robust in self.robust]
        after = [f" after {budget}" if len(self.budgets) > 1 else "" for budget in self.budgets]
        found = ", ".join(f"{one.percent()}{when}" for one, when in zip(shares, after, strict=True))
        linf = self.perturbation.linf[~self.perturbation.linf.isnan()]
        moved = linf.max().item() if len(linf) else 0.0
        felled = ", ".join(f"{title} {len(positions)}" for title, positions in self.felled_by.items())
        return (
            f"robust {found} of {self.clean.shape[1]} · clean {100 * self.clean_accuracy:.1f} % · ‖δ‖∞ {moved:.4f}"
            f"{felled and f' · felled by {felled}'}"
        )

    def budget(self, row: int) -> Budget:
        """What was found at one budget as a record holds it."""
        linf = self.perturbation.linf[row]
        attacked = ~linf.isnan()
        return Budget(
            iterations=self.budgets[row],
            correct=as_strings(self.robust[row]),
            linf_max=linf[attacked].max().item() if attacked.any() else 0.0,
            linf_mean=linf[attacked].mean().item() if attacked.any() else 0.0,
            at_bound=self.perturbation.at_bound[row][attacked].mean().item() if attacked.any() else 0.0,
        )


def as_strings(correct: Tensor) -> tuple[str, ...]:
    """A mask ``(draws, N)`` as a record holds it: one string per draw, one character per image."""
    return tuple("".join("1" if value else "0" for value in draw) for draw in correct.tolist())
