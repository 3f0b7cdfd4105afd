"""Does the attack that a plain evaluation makes do its work on this model?"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from atlpa.attacks import PGD
from atlpa.attacks.objectives import cross_entropy, margin
from atlpa.evaluation.checks.context import DRAWS, ITERATIONS, NONE_RIGHT, CheckContext, batches, logits
from atlpa.evaluation.checks.evidence import TOLERANCE, Check, compare, percent, rate_status, too_few
from atlpa.model_state import eval_mode
from atlpa.records import Status

_CARLINI, _ATHALYE, _CROCE = "Carlini et al. 2019", "Athalye et al. 2018", "Croce & Hein 2020"
_SMALL = 1e-3  # of the pixel range: a step along which a network is nearly linear
_SAMPLE = 64  # images of the checks that follow an attack closely


def _zero_gradients(case: CheckContext) -> tuple[Status, str]:
    right, zero = int(case.clean.sum()), 0
    for lanes in batches(case.clean):
        with eval_mode(case.model), torch.enable_grad():
            images = case.images[lanes].clone().requires_grad_(True)
            loss = F.cross_entropy(case.model(images), case.labels[lanes], reduction="sum")
            (gradient,) = torch.autograd.grad(loss, images)
        useless = (gradient == 0) | ~torch.isfinite(gradient)
        zero += int(useless.flatten(1).all(dim=1).sum())
    text = f"the gradient is zero everywhere on {zero} of the {right} images that are right"
    return rate_status(zero, right, TOLERANCE), text


def _finite_differences(case: CheckContext) -> tuple[Status, str]:
    """Along the sign of the gradient, the margin must change as the gradient says."""
    if case.randomized:
        return "skip", "the model draws, so that two values of it do not differ by its slope alone"
    lanes = torch.nonzero(case.clean).flatten()[:_SAMPLE]
    if not len(lanes):
        return "skip", NONE_RIGHT
    images, labels = case.images[lanes], case.labels[lanes]
    with eval_mode(case.model), torch.enable_grad():
        points = images.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(margin(case.model(points), labels).sum(), points)
    shift = _SMALL * gradient.sign()
    higher, lower = (margin(logits(case.model, images + way * shift), labels) for way in (1, -1))
    slope, expected = (higher - lower) / (2 * _SMALL), gradient.abs().sum(dim=(1, 2, 3))
    wrong = int(((slope - expected).abs() > 0.5 * expected).sum())
    text = f"the slope is not what the gradient says on {wrong} of {len(images)} images"
    return rate_status(wrong, len(images), 0.1), text


def _followed(case: CheckContext) -> tuple[Tensor, Tensor, Tensor]:
    """A few images that are right, their labels, and where PGD takes them if nothing stops it."""
    lanes = torch.nonzero(case.clean).flatten()[:_SAMPLE]
    images, labels = case.images[lanes], case.labels[lanes]
    attack = PGD(epsilon=case.epsilon, step=case.epsilon / 4, iterations=10)
    return images, labels, attack(case.model, images, labels) if len(lanes) else images


def _loss_rises(case: CheckContext) -> tuple[Status, str]:
    images, labels, adversarial = _followed(case)
    if not len(images):
        return "skip", NONE_RIGHT
    draws = DRAWS if case.randomized else 1
    before, after = (
        torch.stack([logits(case.model, some) for _ in range(draws)]).double().mean(dim=0)
        for some in (images, adversarial)
    )
    # The margin rises even where the cross-entropy of a confident network is too small for a number to hold.
    no_higher = [loss(after, labels) <= loss(before, labels) for loss in (cross_entropy, margin)]
    flat = int((no_higher[0] & no_higher[1]).sum())
    return rate_status(flat, len(images), 0.05), f"the loss does not rise on {flat} of {len(images)} images"


def _perturbation(case: CheckContext) -> tuple[Status, str]:
    images, _, adversarial = _followed(case)
    if not len(images):
        return "skip", NONE_RIGHT
    size = (adversarial - images).abs().amax(dim=(1, 2, 3))
    text = f"‖δ‖∞ {size.min():.4f} to {size.max():.4f}, ε {case.epsilon:.4f}"
    if size.max() > case.epsilon + 1e-6 or adversarial.min() < 0 or adversarial.max() > 1:
        return "fail", text
    return rate_status(int((size < case.epsilon / 2).sum()), len(images), TOLERANCE), text


def _rounding(case: CheckContext) -> tuple[Status, str]:
    images, labels, adversarial = _followed(case)
    if not len(images):
        return "skip", NONE_RIGHT
    fell = ~case.right(case.model, adversarial, labels)
    rounded = ~case.right(case.model, (255 * adversarial).round() / 255, labels)
    return compare(fell, rounded, TOLERANCE, paired=True)


def _iterations(case: CheckContext) -> tuple[Status, str]:
    fewer, more = case.by_iterations
    status, text = compare(fewer, more, TOLERANCE, case.randomized)
    return status, f"{ITERATIONS} → {2 * ITERATIONS} steps of ε/8: {text}"


def _monotone(case: CheckContext) -> tuple[Status, str]:
    """Small ε against large: what stands at the larger one must stand at the smaller one."""
    sizes = [case.epsilon / 2, case.epsilon, min(1.0, 2 * case.epsilon)]
    stands = []
    for size in sizes:
        attack = replace(case.pgd, epsilon=size, step=size / 8)
        stands.append(case.pgd_robust if size == case.epsilon else case.stands(attack, case.clean))
    gaps = [compare(larger, smaller, TOLERANCE, paired=True)[0] for smaller, larger in pairwise(stands)]
    text = ", ".join(f"{percent(stand)} at {size:.4g}" for stand, size in zip(stands, sizes, strict=True))
    return max(gaps, key=("skip", "pass", "warn", "fail").index), text


def _unbounded(case: CheckContext) -> tuple[Status, str]:
    attack = PGD(epsilon=1.0, step=1 / 16, iterations=ITERATIONS)
    standing = int(case.pgd_robust.sum())
    if too_few(standing, TOLERANCE):
        return "skip", f"{standing} of {len(case)} stand, too few to tell"
    left = int(case.stands(attack, case.pgd_robust).sum())
    return rate_status(
        left, standing, TOLERANCE
    ), f"{left} of {standing} that stand at ε {case.epsilon:.4g} stand at ε 1"


CHECKS = (
    Check(
        "gradients",
        f"zero on no more than {100 * TOLERANCE:.0f} % of the images",
        _CROCE,
        "attack a differentiable copy, or climb the margin of the logits (--loss margin); no gradient is no robustness",
        _zero_gradients,
    ),
    Check(
        "finite differences",
        "the slope along the gradient's sign agrees to half of it on 90 % of the images",
        "derived",
        "the gradient is not the model's: look for a backward pass of its own, steps or rounding",
        _finite_differences,
    ),
    Check(
        "loss rises",
        "on at least 95 % of the images",
        _CARLINI,
        "the gradient does not point uphill: look for steps, rounding or noise in the model",
        _loss_rises,
    ),
    Check(
        "perturbation",
        "within ε and [0, 1], and nearly as large as ε",
        "derived",
        "give the attack more or larger steps; below its ε it is another, weaker attack",
        _perturbation,
    ),
    Check(
        "8-bit rounding",
        f"mends no more than {100 * TOLERANCE:.0f} % of what fell",
        "derived",
        "what no image file can hold is no attack: look for a model that rounds, or an ε near one level",
        _rounding,
    ),
    Check(
        "iterations",
        f"twice as many break no more than {100 * TOLERANCE:.0f} % of what stands",
        _CARLINI,
        "attack until the accuracy no longer falls",
        _iterations,
    ),
    Check(
        "larger epsilon",
        "no more stands at a larger ε",
        _CARLINI,
        "the attack fails at the larger ε: its balls hold the smaller ones",
        _monotone,
    ),
    Check(
        "epsilon 1",
        f"of what stands at most {100 * TOLERANCE:.0f} % do so where every image is allowed",
        _ATHALYE,
        "the attack is blind: any image may become any other",
        _unbounded,
    ),
)
