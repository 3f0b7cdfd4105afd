"""Does an attack that ought to be weaker break what the stronger ones leave standing?"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from atlpa.attacks import FGSM, Noise
from atlpa.data.images import InMemory
from atlpa.evaluation.attack_batches import attacked
from atlpa.evaluation.checks.check import Check, compare
from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.evaluation.checks.context import CheckContext
from atlpa.evaluation.checks.evidence import TOLERANCE, percent, rate_status
from atlpa.evaluation.checks.standing import Met
from atlpa.records import Status

_CARLINI, _ATHALYE = "Carlini et al. 2019", "Athalye et al. 2018"
_NOISES = 10


def _fgsm(context: CheckContext) -> tuple[Status, str]:
    return compare(context, context.pgd_robust, [context.attempt(FGSM(context.epsilon))])


def _noise(context: CheckContext) -> tuple[Status, str]:
    return compare(context, context.pgd_robust, _NOISES * [context.attempt(Noise(context.epsilon))])


def _gray(context: CheckContext) -> tuple[Status, str]:
    """All pixels toward mid-gray: at ε ≥ 0.5 every image becomes the same."""
    faded = context.images + (0.5 - context.images).clamp(-context.epsilon, context.epsilon)
    return compare(context, context.standing.stands, [("gray", partial(context.show, faded))])


def _guessing(context: CheckContext) -> tuple[Status, str]:
    if context.epsilon < 0.5:
        return "skip", f"ε {context.epsilon:.4g} is smaller than 0.5"
    guess = torch.bincount(context.labels).max().item() / len(context)
    standing = context.standing.stands
    text = f"{percent(standing)}, the largest class {100 * guess:.1f} %"
    return rate_status(int(standing.sum()), len(context), guess), text


def _transfer(context: CheckContext) -> tuple[Status, str]:
    if not context.sources:
        return "skip", "no transfer source was given"

    def show(source: CheckedModel, candidates: Tensor) -> Met:
        positions, adversarial = torch.nonzero(candidates).flatten(), context.images.clone()
        if len(positions):
            chosen = InMemory(context.images[positions], context.labels[positions])
            adversarial[positions] = attacked(source, chosen, context.pgd, seed=None).to(adversarial)
        return context.show(adversarial, candidates)

    sources = [(f"transfer from {source.role}", partial(show, source)) for source in context.sources]
    return compare(context, context.standing.stands, sources)


def _reference(context: CheckContext) -> tuple[Status, str]:
    if context.reference is None:
        return "skip", "no undefended model was given"
    clean = context.right(context.reference, context.images, context.labels)
    standing = context.meet(context.pgd, clean, context.reference).stands
    left, text = int(standing.sum()), f"the undefended model keeps {percent(standing)} of {percent(clean)}"
    # Never a failure: at a small ε an honest attack does little.
    return ("warn" if rate_status(left, len(context), 0.1) == "fail" else "pass"), text


_AT_MOST = f"breaks no more than {100 * TOLERANCE:.0f} % of what"
_BEYOND_PGD, _BEYOND_ALL = f"{_AT_MOST} PGD leaves standing", f"{_AT_MOST} the attacks above leave standing"

CHECKS = (
    Check(
        name="fgsm",
        expected=_BEYOND_PGD,
        source=_ATHALYE,
        advice="PGD is misled: one step must not do what many cannot",
        make=_fgsm,
    ),
    Check(
        name="noise",
        expected=_BEYOND_PGD,
        source=_CARLINI,
        advice="an attack that noise beats follows no useful gradient",
        make=_noise,
    ),
    Check(
        name="gray",
        expected=_BEYOND_ALL,
        source="derived",
        advice="fading an image takes no knowledge of the model; the attacks must find what it finds",
        make=_gray,
    ),
    Check(
        name="guessing",
        expected="at ε ≥ 0.5 no more than the largest class stands",
        source=_CARLINI,
        advice="constant gray lies within ε of every image: the attack is too weak",
        make=_guessing,
    ),
    Check(
        name="transfer",
        expected=_BEYOND_ALL,
        source=_CARLINI,
        advice="white-box must be at least as strong as any transfer: the gradient is masked",
        make=_transfer,
    ),
    Check(
        name="reference",
        expected="an undefended model keeps at most 10 % of the images",
        source=_CARLINI,
        advice="the attack or its ε is too small to tell a defense from none",
        make=_reference,
    ),
)
