"""Do the strongest attacks break what plain PGD leaves standing?"""

from __future__ import annotations

from atlpa.evaluation.checks.check import Check, compare
from atlpa.evaluation.checks.context import NONE_RIGHT, CheckContext
from atlpa.evaluation.checks.evidence import ADAPTIVE_TOLERANCE, TOLERANCE
from atlpa.evaluation.checks.rivals import neighbors
from atlpa.records import Status


def _ensemble(context: CheckContext) -> tuple[Status, str]:
    if context.randomized:
        return "skip", "the model draws; see averaged gradients"
    attack = context.strongest
    made = attack.name, lambda _: context.by_ensemble
    status, text = compare(context, context.pgd_robust, [made], ADAPTIVE_TOLERANCE)
    return status, text if attack.gradients else f"{text}, without a gradient to {attack.name} alone"


def _averaged(context: CheckContext) -> tuple[Status, str]:
    if not context.randomized:
        return "skip", "the model does not draw"
    if not context.clean.any():
        return "skip", NONE_RIGHT
    return compare(context, context.pgd_robust, [rival.attempt(context) for rival in neighbors(context)])


CHECKS = (
    Check(
        name="ensemble",
        expected="breaks no more than a third of what PGD leaves standing",
        source="Croce & Hein 2020",
        advice="PGD on the cross-entropy is blind here: report the ensemble (--attack ensemble)",
        make=_ensemble,
    ),
    Check(
        name="averaged gradients",
        expected=f"breaks no more than {100 * TOLERANCE:.0f} % of what single draws leave standing",
        source="Athalye et al. 2018",
        advice="attack with gradients averaged over draws (--eot)",
        make=_averaged,
    ),
)
