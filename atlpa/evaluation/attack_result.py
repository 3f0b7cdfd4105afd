"""What an attack did: which images stand, and how far they were really moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from atlpa.attacks import BALLS, Attack
from atlpa.errors import UserError
from atlpa.records import NORM_SIGNS, Budget
from atlpa.statistics import share

ROUNDING = 1e-6  # of float32 pixels
L2_ROUNDING = 1e-5  # of lengths of some 100,000 of them, at most 1; of longer ones as a share


@dataclass
class Perturbation:
    """Per image, at each iteration budget; not a number where an image was not attacked.

    Fields:
        attack: what moved them.
        linf: ``(budgets, N)``, ‖δ‖∞.
        l2: likewise, ‖δ‖₂.
        at_bound: likewise, share of the pixels that are as far as ε and the [0, 1] range allow.
    """

    attack: Attack
    linf: Tensor
    l2: Tensor
    at_bound: Tensor

    @classmethod
    def empty(cls, attack: Attack, budgets: int, count: int) -> Perturbation:
        """Room for the measurements."""
        return cls(attack, *torch.full((3, budgets, count), torch.nan))

    @property
    def size(self) -> Tensor:
        """``(budgets, N)``, ‖δ‖ in the attack's norm."""
        return self.l2 if self.attack.norm == "L2" else self.linf

    def note(self, row: int, positions: Tensor, measured: Tensor) -> None:
        """Keep what was measured ``(5, B)`` at some positions of one budget's row; this waits for the device.

        Raises:
            UserError: the attack left the ε-ball or the pixel range; its result would be worthless.
        """
        linf, l2, at_bound, lowest, highest = measured.cpu()
        attack, epsilon = self.attack.name, self.attack.epsilon
        if not (lowest.min() >= 0 and highest.max() <= 1):
            raise UserError(
                f"the attack {attack} gave pixels from {lowest.min():g} to {highest.max():g}, not in [0, 1]"
            )
        if not linf.max() <= epsilon + ROUNDING:
            raise UserError(f"the attack {attack} moved a pixel by {linf.max():g}, further than its ε {epsilon:g}")
        if self.attack.norm == "L2" and not l2.max() <= epsilon + L2_ROUNDING * max(1, epsilon):
            raise UserError(f"the attack {attack} moved an image by {l2.max():g} in L2, further than its ε {epsilon:g}")
        for values, found in ((self.linf, linf), (self.l2, l2), (self.at_bound, at_bound)):
            values[row, positions] = found


def check_measurable(attack: Attack) -> None:
    """Refuse an attack of training alone, and one whose ε is in a norm that nothing here measures.

    Raises:
        UserError: its images leave the ε-ball on purpose, or its norm is neither L∞ nor L2.
    """
    if not attack.bounded:
        raise UserError(
            f"the attack {attack.name} is for training: its images leave the ε-ball on purpose; judge with another, "
            "such as pgd, apgd or autoattack"
        )
    if attack.norm not in BALLS:
        remedy = f"set norm to {' or '.join(BALLS)}" if "norm" in vars(attack) else "take another"
        raise UserError(
            f"the attack {attack.name} measures ε in {attack.norm}; evaluations measure L∞ and L2: {remedy}"
        )


def measure(adversarial: Tensor, images: Tensor, attack: Attack) -> Tensor:
    """What an attack did to each of some images ``(B, 3, H, W)``, left on their device, so that nobody waits for it.

    Returns:
        ``(5, B)``: ‖δ‖∞, ‖δ‖₂, the share of pixels at their bound, and the lowest and the highest adversarial pixel. At
        its bound is a pixel that was moved and is 0 or 1, or ε away; in L2, if the whole image is ε away.
    """
    change, pixels = (adversarial - images).abs(), (1, 2, 3)
    linf, l2 = (BALLS[norm].size(change) for norm in ("Linf", "L2"))
    reach, rounding = (l2[:, None, None, None], L2_ROUNDING) if attack.norm == "L2" else (change, ROUNDING)
    stopped = (change > 0) & ((reach >= attack.epsilon - rounding) | (adversarial <= 0) | (adversarial >= 1))
    found = (linf, l2, stopped.float().mean(pixels), adversarial.amin(pixels), adversarial.amax(pixels))
    return torch.stack([numbers.float() for numbers in found])


@dataclass(frozen=True)
class AttackResult:
    """What an evaluation found. Printed, it is a line: robust accuracy with its 95 % interval, clean accuracy, ‖δ‖.

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
        """Such as ``robust 24.1 % [19.9, 28.9] of 340 · clean 66.2 % · ‖δ‖∞ 0.0314``."""
        shares = [share(as_strings(robust)) for robust in self.robust]
        after = [f" after {budget}" if len(self.budgets) > 1 else "" for budget in self.budgets]
        found = ", ".join(f"{one.percent()}{when}" for one, when in zip(shares, after, strict=True))
        size = self.perturbation.size[~self.perturbation.size.isnan()]
        moved, sign = size.max().item() if len(size) else 0.0, NORM_SIGNS[self.perturbation.attack.norm]
        felled = ", ".join(f"{title} {len(positions)}" for title, positions in self.felled_by.items())
        return (
            f"robust {found} of {self.clean.shape[1]} · clean {100 * self.clean_accuracy:.1f} % · {sign} {moved:.4f}"
            f"{felled and f' · felled by {felled}'}"
        )

    def budget(self, row: int) -> Budget:
        """What was found at one budget as a record holds it."""
        done = self.perturbation
        attacked = ~done.linf[row].isnan()
        linf, l2, at_bound = (values[row][attacked] for values in (done.linf, done.l2, done.at_bound))
        return Budget(
            iterations=self.budgets[row],
            correct=as_strings(self.robust[row]),
            linf_max=linf.max().item() if len(linf) else 0.0,
            linf_mean=linf.mean().item() if len(linf) else 0.0,
            at_bound=at_bound.mean().item() if len(linf) else 0.0,
            l2_max=l2.max().item() if len(l2) else 0.0,
            l2_mean=l2.mean().item() if len(l2) else 0.0,
        )


def as_strings(correct: Tensor) -> tuple[str, ...]:
    """A mask ``(draws, N)`` as a record holds it: one string per draw, one character per image."""
    return tuple("".join("1" if value else "0" for value in draw) for draw in correct.tolist())
