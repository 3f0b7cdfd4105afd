"""What an attack may climb: losses of each image, ``(B,)``, from logits ``(B, C)`` and true classes ``(B,)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Objective = Literal["cross_entropy", "margin", "dlr"]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p_y, or −Σ s_c·log p_c where labels are shares s of the classes ``(B, C)``."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """max_{j≠y} z_j − z_y (Carlini & Wagner 2017, untargeted): positive where the prediction is wrong."""
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return (others.amax(dim=1, keepdim=True) - own).squeeze(1)


def fools(logits: Tensor, labels: Tensor) -> Tensor:
    """Where the largest of the logits ``(B, C)`` is not that of the label, or one is no number, ``(B,)`` bool."""
    return (logits.argmax(dim=1) != labels) | logits.isnan().any(dim=1)


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """The margin over z₍₁₎ − z₍₃₎, the difference of the largest and the third largest logit (Croce & Hein 2020).

    Neither a shift nor a scale of the logits changes it. It needs at least three classes.
    """
    ranked = logits.topk(3, dim=1).values
    return margin(logits, labels) / (ranked[:, 0] - ranked[:, 2] + 1e-12)


def targeted_cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """log p_t of the class aimed at."""
    del labels
    return -F.cross_entropy(logits, targets, reduction="none")


def targeted_margin(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """z_t − z_y: positive where the class aimed at is ahead of the true one."""
    own, aim = (logits.gather(1, classes[:, None]).squeeze(1) for classes in (labels, targets))
    return aim - own


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """(z_t − z_y) / (z₍₁₎ − (z₍₃₎ + z₍₄₎)/2), which needs four classes (Croce & Hein 2020)."""
    ranked = logits.topk(4, dim=1).values
    spread = ranked[:, 0] - (ranked[:, 2] + ranked[:, 3]) / 2
    return targeted_margin(logits, labels, targets) / (spread + 1e-12)


OBJECTIVES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
}

TARGETED: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "cross_entropy": targeted_cross_entropy,
    "margin": targeted_margin,
    "dlr": targeted_dlr,
}
"""The same, but aiming at one class ``(B,)`` of each image."""


def ranked_targets(logits: Tensor, labels: Tensor, rank: int) -> Tensor:
    """The class ``(B,)`` whose logit is the ``rank``-th largest beside that of the true one, counted from 1."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.topk(rank, dim=1).indices[:, -1]
