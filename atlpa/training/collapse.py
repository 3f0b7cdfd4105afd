"""Catastrophic overfitting: how one look tells it, and what is done about it."""

from __future__ import annotations

from collections.abc import Sequence
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
"""The chance of a false alarm in a whole training; of a needless second look, in each first one."""

STEPS = ("alpha", "step", "epsilon")
"""What attacks call their step; where it is none of the first two, it is ε itself."""


class Collapse(Component):
    """Watches one-step adversarial training for its collapse (catastrophic overfitting, Wong et al. 2020).

    A network that withstands the training attack withstands half of its perturbation too. A collapsed one knows the
    whole perturbation by its size, and half of it fools (Kim et al. 2021). So at every look a quarter of the images is
    attacked as in training: is it rather half of the perturbation that fools, beyond chance (sign test, p < 0.01)? Only
    then all images meet ten steps of PGD of ε/4 too: the training has collapsed if more than half of those that
    withstand the training attack fall to PGD, beyond chance (p < 0.01 for all looks of a training together).

    Fields:
        every: steps between two looks.
        images: how many are looked at on suspicion, always the same and held out where any are; a quarter of them at
            each look.
        action: ``say`` so and go on; ``lower`` the attack's step to half, once; or ``stop``.
    """

    every: Annotated[int, Field(ge=1)] = 50
    images: Annotated[int, Field(ge=64, le=2**16)] = 128
    action: Literal["say", "lower", "stop"] = "say"


@dataclass(frozen=True)
class Look:
    """What a look found.

    Fields:
        shares: of the images looked at, those that the network gets right after the ``whole`` perturbation of the
            training attack and after ``half`` of it; on suspicion, of all, under ``training_attack`` and ``pgd``.
        collapsed: whether the training has.
    """

    shares: dict[str, float]
    collapsed: bool = False

    @property
    def sound(self) -> bool:
        """Whether there was nothing to suspect."""
        return "pgd" not in self.shares


@ieee_float32()
def look(
    model: nn.Module, attack: Attack, images: Tensor, labels: Tensor, *, seed: int = 0, level: float = LEVEL
) -> Look:
    """Look once.

    Args:
        model: the network in training; left exactly as found.
        attack: the one in training; PGD has its ε.
        images: ``(N, 3, H, W)`` in [0, 1], those of a class spread evenly.
        labels: ``(N,)``.
        seed: of all draws, which are keyed by the image.
        level: the chance of a false alarm.
    """
    few = torch.arange(0, len(labels), 4)
    whole, half = _right(model, attack, images, labels, few, seed, (1.0, 0.5))
    shares = {"whole": _share(whole), "half": _share(half)}
    if _sign_test(int((half & ~whole).sum()), int((whole & ~half).sum())) >= LEVEL:
        return Look(shares)
    pgd = PGD(epsilon=attack.epsilon, step=attack.epsilon / 4, iterations=10)
    everything = torch.arange(len(labels))
    (trained,) = _right(model, attack, images, labels, everything, seed)
    (strong,) = _right(model, pgd, images, labels, everything, seed)
    shares |= {"training_attack": _share(trained), "pgd": _share(strong)}
    return Look(shares, _sign_test(int((trained & strong).sum()), int((trained & ~strong).sum())) < level)


def _right(
    model: nn.Module,
    attack: Attack,
    images: Tensor,
    labels: Tensor,
    positions: Tensor,
    seed: int,
    shares: Sequence[float] = (1.0,),
) -> list[Tensor]:
    """Which images ``(B,)`` are right after each share of an attack's perturbation."""
    device = images.device

    def of(part: slice) -> Tensor:
        rows = positions[part]
        clean, classes = images[rows.to(device)], labels[rows.to(device)]
        draws = [generator(seed, "collapse, attack", row, device=device) for row in rows.tolist()]
        change = attack(model, clean, classes, generator=draws) - clean
        right = []
        for share in shares:
            draws = [generator(seed, "collapse, judgment", row, device=device) for row in rows.tolist()]
            with torch.no_grad(), eval_mode(model), with_generators(model, draws):
                right.append(model(clean + share * change).argmax(dim=1) == classes)
        return torch.stack(right)

    return list(torch.cat(list(in_parts(len(positions), 64, of)), dim=1))


def _share(right: Tensor) -> float:
    return right.float().mean().item()


def _sign_test(few: int, many: int) -> float:
    """One-sided p of so few among all, were they as frequent as the others."""
    return float(binom.cdf(few, few + many, 0.5))


def step_field(attack: Attack) -> str:
    """The field that holds an attack's step."""
    return next(name for name in STEPS if name in field_names(attack))


def lowered(attack: Attack) -> Attack:
    """The attack with half its step; of FGSM that is ε, for it is its step."""
    changes: dict[str, Any] = {step_field(attack): getattr(attack, step_field(attack)) / 2}
    return replace(attack, **changes)
