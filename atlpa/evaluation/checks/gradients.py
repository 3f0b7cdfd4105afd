"""Does the attack that a plain evaluation makes do its work on this model?"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from atlpa.attacks import PGD
from atlpa.attacks.objectives import cross_entropy, margin
from atlpa.evaluation.checks.check import Check
from atlpa.evaluation.checks.context import DRAWS, ITERATIONS, NONE_RIGHT, CheckContext, logits
from atlpa.evaluation.checks.evidence import TOLERANCE, compare_masks, percent, rate_status, too_few
from atlpa.model_state import eval_mode
from atlpa.records import Status

_CARLINI, _ATHALYE, _CROCE = "Carlini et al. 2019", "Athalye et al. 2018", "Croce & Hein 2020"
_SMALL = 1e-3  # of the pixel range: a step along which a network is nearly linear
_SAMPLE = 64  # images of the checks that follow an attack closely


def _zero_gradients(context: CheckContext) -> tuple[Status, str]:
    right, zero = int(context.clean.sum()), int(context.no_gradient.sum())
    text = f"the gradient is zero everywhere on {zero} of the {right} images that are right"
    return rate_status(zero, right, TOLERANCE), text


def _finite_differences(context: CheckContext) -> tuple[Status, str]:
    """Along the sign of the gradient, the margin must change as the gradient says."""
    if context.randomized:
        return "skip", "the model draws, so that two values of it do not differ by its slope alone"
    rows = torch.nonzero(context.clean).flatten()[:_SAMPLE]
    if not len(rows):
        return "skip", NONE_RIGHT
    images, labels = context.images[rows], context.labels[rows]
    with eval_mode(context.model), torch.enable_grad():
        points = images.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(margin(context.model(points), labels).sum(), points)
    shift = _SMALL * gradient.sign()
    higher, lower = (margin(logits(context.model, images + way * shift), labels) for way in (1, -1))
    slope, expected = (higher - lower) / (2 * _SMALL), gradient.abs().sum(dim=(1, 2, 3))
    wrong = int(((slope - expected).abs() > 0.5 * expected).sum())
    text = f"the slope is not what the gradient says on {wrong} of {len(images)} images"
    return rate_status(wrong, len(images), 0.1), text


def _followed(context: CheckContext) -> tuple[Tensor, Tensor, Tensor]:
    """A few images that are right, their labels, and where PGD takes them if nothing stops it."""
    rows = torch.nonzero(context.clean).flatten()[:_SAMPLE]
    images, labels = context.images[rows], context.labels[rows]
    attack = PGD(epsilon=context.epsilon, step=context.epsilon / 4, iterations=10)
    return images, labels, attack(context.model, images, labels) if len(rows) else images


def _loss_rises(context: CheckContext) -> tuple[Status, str]:
    images, labels, adversarial = _followed(context)
    if not len(images):
        return "skip", NONE_RIGHT
    draws = DRAWS if context.randomized else 1
    before, after = (
        torch.stack([logits(context.model, some) for _ in range(draws)]).double().mean(dim=0)
        for some in (images, adversarial)
    )
    # The margin rises even where the cross-entropy of a confident network is too small for a number to hold.
    no_higher = [loss(after, labels) <= loss(before, labels) for loss in (cross_entropy, margin)]
    flat = int((no_higher[0] & no_higher[1]).sum())
    return rate_status(flat, len(images), 0.05), f"the loss does not rise on {flat} of {len(images)} images"


def _perturbation(context: CheckContext) -> tuple[Status, str]:
    images, _, adversarial = _followed(context)
    if not len(images):
        return "skip", NONE_RIGHT
    size = (adversarial - images).abs().amax(dim=(1, 2, 3))
    text = f"‖δ‖∞ {size.min():.4f} to {size.max():.4f}, ε {context.epsilon:.4f}"
    if size.max() > context.epsilon + 1e-6 or adversarial.min() < 0 or adversarial.max() > 1:
        return "fail", text
    return rate_status(int((size < context.epsilon / 2).sum()), len(images), TOLERANCE), text


def _rounding(context: CheckContext) -> tuple[Status, str]:
    images, labels, adversarial = _followed(context)
    if not len(images):
        return "skip", NONE_RIGHT
    fell = ~context.right(context.model, adversarial, labels)
    rounded = ~context.right(context.model, (255 * adversarial).round() / 255, labels)
    return compare_masks(fell, rounded, TOLERANCE, paired=True)


def _iterations(context: CheckContext) -> tuple[Status, str]:
    fewer, more = context.by_iterations
    status, text = compare_masks(fewer, more, TOLERANCE, context.randomized)
    return status, f"{ITERATIONS} → {2 * ITERATIONS} steps of ε/8: {text}"


def _monotone(context: CheckContext) -> tuple[Status, str]:
    """Small ε against large: what stands at the larger one must stand at the smaller one."""
    sizes = [context.epsilon / 2, context.epsilon, min(1.0, 2 * context.epsilon)]
    stands = []
    for size in sizes:
        attack = replace(context.pgd, epsilon=size, step=size / 8)
        stands.append(context.pgd_robust if size == context.epsilon else context.meet(attack, context.clean).stands)
    gaps = [compare_masks(larger, smaller, TOLERANCE, paired=True)[0] for smaller, larger in pairwise(stands)]
    text = ", ".join(f"{percent(stand)} at {size:.4g}" for stand, size in zip(stands, sizes, strict=True))
    return max(gaps, key=("skip", "pass", "warn", "fail").index), text


def _unbounded(context: CheckContext) -> tuple[Status, str]:
    attack = PGD(epsilon=1.0, step=1 / 16, iterations=ITERATIONS)
    standing = int(context.pgd_robust.sum())
    if too_few(standing, TOLERANCE):
        return "skip", f"{standing} of {len(context)} stand, too few to tell"
    left = int(context.meet(attack, context.pgd_robust).stands.sum())
    return rate_status(
        left, standing, TOLERANCE
    ), f"{left} of {standing} that stand at ε {context.epsilon:.4g} stand at ε 1"


CHECKS = (
    Check(
        name="gradients",
        expected=f"zero on no more than {100 * TOLERANCE:.0f} % of the images",
        source=_CROCE,
        advice="attack a differentiable copy, or climb the margin of the logits (--loss margin); "
        "no gradient is no robustness",
        make=_zero_gradients,
    ),
    Check(
        name="finite differences",
        expected="the slope along the gradient's sign agrees to half of it on 90 % of the images",
        source="derived",
        advice="the gradient is not the model's: look for a backward pass of its own, steps or rounding",
        make=_finite_differences,
    ),
    Check(
        name="loss rises",
        expected="on at least 95 % of the images",
        source=_CARLINI,
        advice="the gradient does not point uphill: look for steps, rounding or noise in the model",
        make=_loss_rises,
    ),
    Check(
        name="perturbation",
        expected="within ε and [0, 1], and nearly as large as ε",
        source="derived",
        advice="give the attack more or larger steps; below its ε it is another, weaker attack",
        make=_perturbation,
    ),
    Check(
        name="8-bit rounding",
        expected=f"mends no more than {100 * TOLERANCE:.0f} % of what fell",
        source="derived",
        advice="what no image file can hold is no attack: look for a model that rounds, or an ε near one level",
        make=_rounding,
    ),
    Check(
        name="iterations",
        expected=f"twice as many break no more than {100 * TOLERANCE:.0f} % of what stands",
        source=_CARLINI,
        advice="attack until the accuracy no longer falls",
        make=_iterations,
    ),
    Check(
        name="larger epsilon",
        expected="no more stands at a larger ε",
        source=_CARLINI,
        advice="the attack fails at the larger ε: its balls hold the smaller ones",
        make=_monotone,
    ),
    Check(
        name="epsilon 1",
        expected=f"of what stands at most {100 * TOLERANCE:.0f} % do so where every image is allowed",
        source=_ATHALYE,
        advice="the attack is blind: any image may become any other",
        make=_unbounded,
    ),
)
