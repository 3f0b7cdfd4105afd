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


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """The margin over z₍₁₎ − z₍₃₎, the difference of the largest and the third largest logit (Croce & Hein 2020).

    Neither a shift nor a scale of the logits changes it. It needs at least three classes.
    """
    ranked = logits.topk(3, dim=1).values
    return margin(logits, labels) / (ranked[:, 0] - ranked[:, 2] + 1e-12)


OBJECTIVES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
}
