"""Does an attack made for what hides from cross-entropy break what plain PGD leaves standing?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from atlpa.attacks.objectives import Objective
from atlpa.evaluation.checks.context import ITERATIONS, NONE_RIGHT, CheckContext, CheckedModel, batches
from atlpa.evaluation.checks.evidence import ADAPTIVE_TOLERANCE, TOLERANCE, Check, compare
from atlpa.records import Status

_CROCE = "Croce & Hein 2020"
_TARGETS = 3
_RESTARTS = 2
_COSTLY = "the model draws, so that every attack is made in full; margin stands for it"
_SAMPLE, _DRAWS = 128, 8  # images and draws of the averaged gradients, which cost as many passes as draws


def _climbing(case: CheckContext, loss: Objective) -> tuple[Status, str]:
    attack = replace(case.pgd, loss=loss)
    return case.compare_with(case.pgd_robust, [partial(case.stands, attack)], ADAPTIVE_TOLERANCE)


def _margin(case: CheckContext) -> tuple[Status, str]:
    return _climbing(case, "margin")


def _dlr(case: CheckContext) -> tuple[Status, str]:
    if case.randomized:
        return "skip", _COSTLY
    if case.outputs[0].shape[1] < 3:
        return "skip", "it needs three classes"
    return _climbing(case, "dlr")


class _Duel(nn.Module):
    """Two logits of each image: of its own class, and of the class that an attack aims at."""

    def __init__(self, model: CheckedModel, own: Tensor, aim: Tensor) -> None:
        super().__init__()
        self.model, self.pair = model, torch.stack([own, aim], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.model(images)
        return found.gather(1, self.pair)


def _targeted(case: CheckContext) -> tuple[Status, str]:
    if case.randomized:
        return "skip", _COSTLY
    attack = replace(case.pgd, loss="margin")
    ranked = case.outputs[0].scatter(1, case.labels[:, None], -torch.inf).argsort(dim=1, descending=True)

    def aim_at(aim: Tensor, candidates: Tensor) -> Tensor:
        adversarial = case.images.clone()
        for lanes in batches(candidates):
            duel = _Duel(case.model, case.labels[lanes], aim[lanes])
            adversarial[lanes] = attack(duel, case.images[lanes], torch.zeros_like(case.labels[lanes]))
        return case.shown(candidates, adversarial)

    aims = ranked[:, : min(_TARGETS, ranked.shape[1] - 1)].T
    return case.compare_with(case.pgd_robust, [partial(aim_at, aim) for aim in aims], ADAPTIVE_TOLERANCE)


def _averaged(case: CheckContext) -> tuple[Status, str]:
    if not case.randomized:
        return "skip", "the model does not draw"
    if not case.clean.any():
        return "skip", NONE_RIGHT
    attack = replace(case.pgd, eot=_DRAWS, iterations=ITERATIONS // 2)
    chosen = torch.zeros_like(case.clean).index_fill(0, torch.nonzero(case.clean).flatten()[:_SAMPLE], True)
    return compare(case.pgd_robust[chosen], case.stands(attack, chosen)[chosen], TOLERANCE, case.randomized)


def _restarts(case: CheckContext) -> tuple[Status, str]:
    attack = replace(case.pgd, start="uniform")
    return case.compare_with(case.worst_case, _RESTARTS * [partial(case.stands, attack)])


_AT_MOST = "breaks no more than a third of what cross-entropy leaves standing"

CHECKS = (
    Check("margin", _AT_MOST, _CROCE, "report PGD on the margin (--loss margin)", _margin),
    Check("dlr", _AT_MOST, _CROCE, "report PGD on the DLR loss (--loss dlr) or AutoAttack", _dlr),
    Check(
        "targeted",
        _AT_MOST,
        _CROCE,
        "report AutoAttack, which aims at classes (--attack autoattack)",
        _targeted,
    ),
    Check(
        "restarts",
        f"breaks no more than {100 * TOLERANCE:.0f} % of what the attacks above leave standing",
        "Mosbach et al. 2018",
        "attack with many restarts: the loss surface is rugged",
        _restarts,
    ),
    Check(
        "averaged gradients",
        f"breaks no more than {100 * TOLERANCE:.0f} % of what single draws leave standing",
        "Athalye et al. 2018",
        "attack with gradients averaged over draws (--eot)",
        _averaged,
    ),
)
