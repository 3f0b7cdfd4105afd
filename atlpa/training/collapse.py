"""Catastrophic overfitting: how it is told, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from scipy.stats import binom
from torch import Tensor, nn

from atlpa.attacks import PGD, Attack
from atlpa.component import Component, field_names
from atlpa.float32 import ieee_float32
from atlpa.model_state import eval_mode, with_generators
from atlpa.out_of_memory import in_parts
from atlpa.randomness import generator

LEVEL = 0.01
"""The chance of a false alarm in a whole training."""

FEW = 24
"""Images of a first look."""

STEPS = ("alpha", "step", "epsilon")
"""What attacks call their step; where it is none of the first two, it is ε, or follows from it."""


class Collapse(Component):
    """Watches one-step adversarial training for its collapse (catastrophic overfitting, Wong et al. 2020).

    At every look 24 images meet the training attack, and those that withstand it ten steps of PGD of ε/4; the network
    that withstood PGD best is kept. One that withstands PGD on less than two thirds as many is suspected, if PGD takes
    two of five that withstand the training attack. Both networks then meet both attacks on all images. Training has
    collapsed if it withstands PGD less than half as often as the kept network, and the training attack not less often;
    both beyond chance.

    Fields:
        every: steps between two looks.
        images: how many are looked at on suspicion, always the same and held out where any are.
        action: ``say`` so and go on; ``lower`` the attack's step (ε, of one that has no other) to half, once; or
            ``stop``.
    """

    every: Annotated[int, Field(ge=1)] = 100
    images: Annotated[int, Field(ge=FEW, le=2**16)] = 128
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

    def suspicious(self, best: float) -> bool:
        """Whether both networks should be looked at closely.

        Args:
            best: the largest share of these images that withstood PGD so far.
        """
        trained, strong = int(self.trained.sum()), int(self.strong.sum())
        return 5 * strong <= 3 * trained and 3 * strong < 2 * best * len(self.strong)


@ieee_float32()
def judge(model: nn.Module, attack: Attack, images: Tensor, labels: Tensor, seed: int) -> Verdicts:
    """Attack some images as in training, and those that withstand it by ten steps of PGD of ε/4.

    Args:
        model: the network in training; left exactly as found.
        attack: the one in training.
        images: ``(N, 3, H, W)`` in [0, 1].
        labels: ``(N,)``.
        seed: of all draws, which are keyed by the image.
    """
    trained = _right(model, attack, images, labels, torch.arange(len(labels)), seed)
    strong = trained.clone()
    if attack.epsilon and trained.any():
        pgd = PGD(epsilon=attack.epsilon, step=attack.epsilon / 4, iterations=10)
        strong[trained] = _right(model, pgd, images, labels, trained.nonzero()[:, 0], seed)
    return Verdicts(trained, strong)


def _right(model: nn.Module, attack: Attack, images: Tensor, labels: Tensor, positions: Tensor, seed: int) -> Tensor:
    """Which of the images at some positions are right after an attack, on the CPU."""
    device = images.device

    def of(part: slice) -> Tensor:
        rows = positions[part]
        clean, classes = images[rows.to(device)], labels[rows.to(device)]
        attacking, judging = (
            [generator(seed, purpose, row, device=device) for row in rows.tolist()]
            for purpose in ("collapse, attack", "collapse, judgment")
        )
        adversarial = attack(model, clean, classes, generator=attacking)
        with torch.no_grad(), eval_mode(model), with_generators(model, judging):
            logits: Tensor = model(adversarial)
        return (logits.argmax(dim=1) == classes).cpu()

    right: list[Tensor] = list(in_parts(len(positions), 64, of))
    return torch.cat(right)


def collapsed(kept: Verdicts, now: Verdicts, labels: Tensor, level: float = LEVEL) -> bool:
    """Whether training has collapsed since a network was kept.

    Args:
        kept: of that network, on the same images and under the same attacks as ``now``.
        now: of the present one.
        labels: ``(N,)``; the kept network must withstand PGD better than a constant answer does.
        level: the chance that a network that withstands PGD at least half as often is taken for a collapsed one. The
            two other tests, which can only acquit, are at ``LEVEL``.
    """
    count, largest = len(labels), int(labels.bincount().max())
    before, after = int(kept.strong.sum()), int(now.strong.sum())
    if binom.sf(before - 1, count, largest / count) >= LEVEL:
        return False
    halved = binom.cdf(after, before, 0.5) < level
    return bool(halved) and less_often(now.trained, kept.trained) >= LEVEL


def less_often(first: Tensor, second: Tensor) -> float:
    """One-sided p of the exact sign test that ``first`` is not less often true than ``second``, image by image."""
    lost, won = int((second & ~first).sum()), int((first & ~second).sum())
    return float(binom.cdf(won, lost + won, 0.5))


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
