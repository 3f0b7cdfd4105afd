"""Numbers of each image that say why an attack failed; they accuse nobody, and have no threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from atlpa.attacks.objectives import cross_entropy, margin
from atlpa.evaluation.checks.context import CheckContext, batches, logits
from atlpa.evaluation.checks.evidence import percent
from atlpa.model_state import eval_mode
from atlpa.randomness import uniform

DRAWS = 10
SAMPLE = 64
"""Images at most."""


def first_order_gap(gradient: Tensor, points: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """How far points are from where no first-order step raises the loss: FOSC in the box (Wang et al. 2019), ``(B,)``.

    The largest g · (u − x) over all u within ε and [0, 1], as a share of ε·‖g‖₁: 0 at a first-order stationary point,
    2 where a full step from one corner to the other is left. The scale of the loss does not matter. Without any
    gradient it is NaN.

    Args:
        gradient: g ``(B, 3, H, W)``, of the loss at the points.
        points: x ``(B, 3, H, W)``.
        images: ``(B, 3, H, W)``, around which the ε-ball lies.
        epsilon: ε, in units of the [0, 1] pixel range.
    """
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    gain = gradient * (torch.where(gradient > 0, high, low) - points)
    return gain.sum(dim=(1, 2, 3)) / (epsilon * gradient.abs().sum(dim=(1, 2, 3)))


@dataclass(frozen=True)
class Diagnosis:
    """What happened to the images that are right clean, one number or bool for each, ``(n,)``.

    Fields:
        gap: ``first_order_gap`` of the cross-entropy, which plain PGD climbs, where it ends.
        instability: mean of |m(x) − m(x + u)| / |m(x)| over draws of u within ε/2, at most 1, of the margin m (after
            the second indicator of Pintor et al. 2022).
        thrown_away: whether an iterate of plain PGD fooled the model and its last does not.
    """

    gap: Tensor
    instability: Tensor
    thrown_away: Tensor

    def __str__(self) -> str:
        gap = self.gap.nanmedian().item() if len(self.gap) else float("nan")
        unstable = self.instability.median().item() if len(self.gap) else float("nan")
        thrown = percent(self.thrown_away) if len(self.gap) else "0.0 %"
        return f"first-order gap {gap:.2f}, instability {unstable:.2f} (medians), {thrown} thrown away"


def diagnose(context: CheckContext) -> Diagnosis:
    """Follow plain PGD on the first images that are right, and look around them.

    Args:
        context: the model, whose draws make every number one of chance, and its images.
    """
    gaps, unstable = [torch.zeros(0)], [torch.zeros(0)]
    thrown = [torch.zeros(0, dtype=torch.bool)]
    attack = replace(context.pgd, engine="reference")
    first = torch.zeros_like(context.clean)
    first[torch.nonzero(context.clean).flatten()[:SAMPLE]] = True
    for rows in batches(first):
        images, labels = context.images[rows], context.labels[rows]
        fooled = torch.zeros_like(labels, dtype=torch.bool)
        for points in attack.iterates(context.model, images, labels):
            now = margin(logits(context.model, points), labels) > 0
            fooled |= now
        with eval_mode(context.model), torch.enable_grad():
            at = points.clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(cross_entropy(context.model(at), labels).sum(), at)
        here = margin(logits(context.model, images), labels)
        near = [(images + uniform(images, context.epsilon / 2, None)).clamp(0, 1) for _ in range(DRAWS)]
        moved = torch.stack([(margin(logits(context.model, x), labels) - here).abs() for x in near])
        gaps.append(first_order_gap(slope, points, images, context.epsilon))
        unstable.append((moved.mean(dim=0) / here.abs().clamp(min=1e-12)).clamp(max=1))
        thrown.append(fooled & ~now)
    return Diagnosis(*(torch.cat([part.cpu() for part in parts]) for parts in (gaps, unstable, thrown)))
