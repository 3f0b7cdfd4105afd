"""Does an attack made for what hides from cross-entropy break what plain PGD leaves standing?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from atlpa.attacks.objectives import Objective
from atlpa.evaluation.checks.check import Check, compare
from atlpa.evaluation.checks.context import ITERATIONS, NONE_RIGHT, CheckContext, CheckedModel, batches
from atlpa.evaluation.checks.evidence import ADAPTIVE_TOLERANCE, TOLERANCE, compare_masks
from atlpa.records import Status

_CROCE = "Croce & Hein 2020"
_TARGETS = 3
_RESTARTS = 2
_COSTLY = "the model draws, so that every attack is made in full; margin stands for it"
_SAMPLE, _DRAWS = 128, 8  # images and draws of the averaged gradients, which cost as many passes as draws


def _climbing(context: CheckContext, loss: Objective) -> tuple[Status, str]:
    attack = replace(context.pgd, loss=loss)
    return compare(context, context.pgd_robust, [partial(context.stands, attack)], ADAPTIVE_TOLERANCE)


def _margin(context: CheckContext) -> tuple[Status, str]:
    return _climbing(context, "margin")


def _dlr(context: CheckContext) -> tuple[Status, str]:
    if context.randomized:
        return "skip", _COSTLY
    if context.outputs[0].shape[1] < 3:
        return "skip", "it needs three classes"
    return _climbing(context, "dlr")


class _Duel(nn.Module):
    """Two logits of each image: of its own class, and of the class that an attack aims at."""

    def __init__(self, model: CheckedModel, own: Tensor, aim: Tensor) -> None:
        super().__init__()
        self.model, self.pair = model, torch.stack([own, aim], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.model(images)
        return found.gather(1, self.pair)


def _targeted(context: CheckContext) -> tuple[Status, str]:
    if context.randomized:
        return "skip", _COSTLY
    attack = replace(context.pgd, loss="margin")
    ranked = context.outputs[0].scatter(1, context.labels[:, None], -torch.inf).argsort(dim=1, descending=True)

    def aim_at(aim: Tensor, candidates: Tensor) -> Tensor:
        adversarial = context.images.clone()
        for rows in batches(candidates):
            duel = _Duel(context.model, context.labels[rows], aim[rows])
            adversarial[rows] = attack(duel, context.images[rows], torch.zeros_like(context.labels[rows]))
        return context.correct_on(candidates, adversarial)

    aims = ranked[:, : min(_TARGETS, ranked.shape[1] - 1)].T
    return compare(context, context.pgd_robust, [partial(aim_at, aim) for aim in aims], ADAPTIVE_TOLERANCE)


def _averaged(context: CheckContext) -> tuple[Status, str]:
    if not context.randomized:
        return "skip", "the model does not draw"
    if not context.clean.any():
        return "skip", NONE_RIGHT
    attack = replace(context.pgd, eot=_DRAWS, iterations=ITERATIONS // 2)
    chosen = torch.zeros_like(context.clean).index_fill(0, torch.nonzero(context.clean).flatten()[:_SAMPLE], True)
    return compare_masks(
        context.pgd_robust[chosen], context.stands(attack, chosen)[chosen], TOLERANCE, context.randomized
    )


def _restarts(context: CheckContext) -> tuple[Status, str]:
    attack = replace(context.pgd, start="uniform")
    return compare(context, context.worst_case, _RESTARTS * [partial(context.stands, attack)])


_AT_MOST = "breaks no more than a third of what cross-entropy leaves standing"

CHECKS = (
    Check(
        name="margin",
        expected=_AT_MOST,
        source=_CROCE,
        advice="report PGD on the margin (--loss margin)",
        make=_margin,
    ),
    Check(
        name="dlr",
        expected=_AT_MOST,
        source=_CROCE,
        advice="report PGD on the DLR loss (--loss dlr) or AutoAttack",
        make=_dlr,
    ),
    Check(
        name="targeted",
        expected=_AT_MOST,
        source=_CROCE,
        advice="report AutoAttack, which aims at classes (--attack autoattack)",
        make=_targeted,
    ),
    Check(
        name="restarts",
        expected=f"breaks no more than {100 * TOLERANCE:.0f} % of what the attacks above leave standing",
        source="Mosbach et al. 2018",
        advice="attack with many restarts: the loss surface is rugged",
        make=_restarts,
    ),
    Check(
        name="averaged gradients",
        expected=f"breaks no more than {100 * TOLERANCE:.0f} % of what single draws leave standing",
        source="Athalye et al. 2018",
        advice="attack with gradients averaged over draws (--eot)",
        make=_averaged,
    ),
)
