"""Catastrophic overfitting: how it is told, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from atlpa.attacks import PGD, Attack, carry_out
from atlpa.component import Component, field_names
from atlpa.float32 import ieee_float32
from atlpa.model_state import eval_mode, with_generators
from atlpa.out_of_memory import in_parts
from atlpa.randomness import Generators, generator, of_rows
from atlpa.statistics import at_most

LEVEL = 0.01
"""The chance of a false alarm in a whole training."""

FEW = 12
"""Images of a first look."""

MANY = 20
"""Steps of the PGD, of ε/10, that is looked with: larger ones may step over what fells a collapsed network."""

STEPS = ("alpha", "step", "epsilon")
"""What attacks call their step; where it is none of the first two, it is ε, or follows from it."""


class Collapse(Component):
    """Watches one-step adversarial training for its collapse (catastrophic overfitting, Wong et al. 2020).

    At every look 12 images meet the training attack, and those that withstand it 20 steps of PGD of ε/10, at each of
    which they must be right; the network that withstood PGD best is kept. One that withstands PGD on less than half as
    many, and on less than half of those that withstand the training attack, is suspected, and both networks meet both
    attacks on all images. Training has collapsed if less than half as many withstand PGD as of the kept network, while
    those that withstand the training attack and fall to PGD have become more, beyond chance.

    Fields:
        every: steps between two looks. Default: most collapses are told within 100 steps, for a tenth of the time
            (docs/training.md).
        images: how many are looked at on suspicion, always the same and held out where any are. Default: chosen with
            the rule, on seeds of their own (docs/training.md).
        action: ``say`` so and go on; ``lower`` the attack's step (ε, of one that has no other) to half, once; or
            ``stop``. Default: the training stays what was asked for.
    """

    every: Annotated[int, Field(ge=1)] = 50
    images: Annotated[int, Field(ge=FEW, le=2**16)] = 48
    action: Literal["say", "lower", "stop"] = "say"


@dataclass(frozen=True)
class Verdicts:
    """Which of some images ``(N,)`` a network gets right.

    Fields:
        trained: under the training attack.
        strong: under that and under PGD.
    """

    trained: Tensor
    strong: Tensor

    @property
    def fooled(self) -> Tensor:
        """Which withstand the training attack, and fall to PGD all the same."""
        return self.trained & ~self.strong

    def suspicious(self, best: float) -> bool:
        """Whether both networks should be looked at closely.

        Args:
            best: the largest share of these images that withstood PGD so far.
        """
        trained, strong = int(self.trained.sum()), int(self.strong.sum())
        return 2 * strong < min(trained, round(best * len(self.strong)))


@ieee_float32()
def judge(model: nn.Module, attack: Attack, images: Tensor, labels: Tensor, seed: int) -> Verdicts:
    """Attack some images as in training, and those that withstand it by 20 steps of PGD of ε/10.

    Args:
        model: the network in training; left exactly as found.
        attack: the one in training.
        images: ``(N, 3, H, W)`` in [0, 1].
        labels: ``(N,)``.
        seed: of all draws, which are keyed by the image.
    """

    def of(part: slice) -> tuple[Tensor, Tensor]:
        clean, classes = images[part], labels[part]
        attacking, judging = (
            [generator(seed, purpose, row, device=images.device) for row in range(part.start, part.stop)]
            for purpose in ("collapse, attack", "collapse, judgment")
        )
        adversarial = attack(model, clean, classes, generator=attacking)
        with torch.no_grad(), eval_mode(model), with_generators(model, judging):
            trained = (model(adversarial).argmax(dim=1) == classes).cpu()
        strong = trained.clone()
        if attack.epsilon and trained.any():
            rows = trained.nonzero()[:, 0]
            there = rows.to(images.device)
            strong[rows] = _withstand(model, attack, clean[there], classes[there], of_rows(attacking, rows))
        return trained, strong

    trained, strong = zip(*in_parts(len(labels), 64, of), strict=True)
    return Verdicts(torch.cat(trained), torch.cat(strong))


def _withstand(model: nn.Module, attack: Attack, images: Tensor, labels: Tensor, draws: Generators) -> Tensor:
    """Which images ``(N,)`` are right as they are and after each step of PGD, on the CPU; what falls is let go."""
    # A network that draws meets the same draws at every step, or all would fall by chance.
    norm: Any = attack.norm
    pgd = PGD(attack.epsilon, attack.epsilon / 10, MANY, fixed_draws=True, norm=norm)
    _, fallen = carry_out(pgd, model, pgd.prepare(model, images), images, labels, draws)
    return ~fallen


def collapsed(kept: Verdicts, now: Verdicts, labels: Tensor, level: float = LEVEL) -> bool:
    """Whether training has collapsed since a network was kept.

    Args:
        kept: of that network, on the same images and under the same attacks as ``now``.
        now: of the present one.
        labels: ``(N,)``; the kept network must withstand PGD in two classes at least, as a constant answer does not.
        level: the chance of an alarm where the present network is fooled by no more images than the kept one.
    """
    halved = 2 * int(now.strong.sum()) < int(kept.strong.sum())
    several = len(set(labels[kept.strong].tolist())) > 1
    return halved and several and less_often(kept.fooled, now.fooled) < level


def less_often(first: Tensor, second: Tensor) -> float:
    """One-sided p of the exact sign test that ``first`` is not less often true than ``second``, image by image."""
    lost, won = int((second & ~first).sum()), int((first & ~second).sum())
    return at_most(won, lost + won, 0.5)


def step_field(attack: Attack) -> str:
    """The field that holds an attack's step."""
    return next(name for name in STEPS if name in field_names(attack))


def step_name(attack: Attack) -> str:
    """What ``lowered`` halves, in words."""
    return "ε" if step_field(attack) == "epsilon" else "step"


def lowered(attack: Attack) -> Attack:
    """The attack with half its step; with half its ε where that is its step (FGSM), or decides it (APGD)."""
    changes: dict[str, Any] = {step_field(attack): getattr(attack, step_field(attack)) / 2}
    return replace(attack, **changes)
