"""Does an attack that ought to be weaker break what the stronger ones leave standing?"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from atlpa.attacks import FGSM, Noise, Square
from atlpa.evaluation.checks.context import CheckContext, CheckedModel, batches
from atlpa.evaluation.checks.evidence import ADAPTIVE_TOLERANCE, TOLERANCE, Check, percent, rate_status
from atlpa.records import Status

_CARLINI, _ATHALYE = "Carlini et al. 2019", "Athalye et al. 2018"
_NOISES = 10
_QUERIES = 300


def _fgsm(case: CheckContext) -> tuple[Status, str]:
    return case.compare_with(case.pgd_robust, [partial(case.stands, FGSM(case.epsilon))])


def _noise(case: CheckContext) -> tuple[Status, str]:
    return case.compare_with(case.pgd_robust, _NOISES * [partial(case.stands, Noise(epsilon=case.epsilon))])


def _gray(case: CheckContext) -> tuple[Status, str]:
    """All pixels toward mid-gray: at ε ≥ 0.5 every image becomes the same."""
    faded = case.images + (0.5 - case.images).clamp(-case.epsilon, case.epsilon)
    return case.compare_with(case.worst_case, [lambda candidates: case.shown(candidates, faded)])


def _guessing(case: CheckContext) -> tuple[Status, str]:
    if case.epsilon < 0.5:
        return "skip", f"ε {case.epsilon:.4g} is smaller than 0.5"
    guess = torch.bincount(case.labels).max().item() / len(case)
    text = f"{percent(case.pgd_robust)}, the largest class {100 * guess:.1f} %"
    return rate_status(int(case.pgd_robust.sum()), len(case), guess), text


def _gradient_free(case: CheckContext) -> tuple[Status, str]:
    attack = Square(epsilon=case.epsilon, iterations=_QUERIES)
    return case.compare_with(case.worst_case, [partial(case.stands, attack)])


def _transfer(case: CheckContext) -> tuple[Status, str]:
    if not case.sources:
        return "skip", "no transfer source was given"

    def show(source: CheckedModel, candidates: Tensor) -> Tensor:
        adversarial = case.images.clone()
        for lanes in batches(candidates):
            adversarial[lanes] = case.pgd(source, case.images[lanes], case.labels[lanes])
        return case.shown(candidates, adversarial)

    return case.compare_with(case.worst_case, [partial(show, source) for source in case.sources])


def _worst_case(case: CheckContext) -> tuple[Status, str]:
    if case.randomized:
        return "skip", "the model draws, and falls by chance sooner or later"
    return case.compare_with(case.pgd_robust, [lambda _: case.worst_case], ADAPTIVE_TOLERANCE)


def _reference(case: CheckContext) -> tuple[Status, str]:
    if case.reference is None:
        return "skip", "no undefended model was given"
    clean = case.right(case.reference, case.images, case.labels)
    standing = case.stands(case.pgd, clean, case.reference)
    left, text = int(standing.sum()), f"the undefended model keeps {percent(standing)} of {percent(clean)}"
    # Never a failure: at a small ε an honest attack does little.
    return ("warn" if rate_status(left, len(case), 0.1) == "fail" else "pass"), text


_AT_MOST = f"breaks no more than {100 * TOLERANCE:.0f} % of what"
_BEYOND_PGD, _BEYOND_ALL = f"{_AT_MOST} PGD leaves standing", f"{_AT_MOST} the gradient attacks leave standing"

CHECKS = (
    Check("fgsm", _BEYOND_PGD, _ATHALYE, "PGD is misled: one step must not do what many cannot", _fgsm),
    Check("noise", _BEYOND_PGD, _CARLINI, "an attack that noise beats follows no useful gradient", _noise),
    Check(
        "gray",
        _BEYOND_ALL,
        "derived",
        "fading an image takes no knowledge of the model; the attacks must find what it finds",
        _gray,
    ),
    Check(
        "guessing",
        "at ε ≥ 0.5 no more than the largest class stands",
        _CARLINI,
        "constant gray lies within ε of every image: the attack is too weak",
        _guessing,
    ),
    Check(
        "gradient-free",
        _BEYOND_ALL,
        _ATHALYE,
        "the gradient is masked: report the Square attack or AutoAttack (--attack square, autoattack)",
        _gradient_free,
    ),
    Check(
        "transfer",
        _BEYOND_ALL,
        _CARLINI,
        "white-box must be at least as strong as any transfer: the gradient is masked",
        _transfer,
    ),
    Check(
        "worst case",
        "all attacks together, image by image, break no more than a third of what PGD leaves standing",
        _CARLINI,
        "report what stands under every attack, image by image",
        _worst_case,
    ),
    Check(
        "reference",
        "an undefended model keeps at most 10 % of the images",
        _CARLINI,
        "the attack or its ε is too small to tell a defense from none",
        _reference,
    ),
)
