"""Adversarial logit pairing (Kannan et al. 2018)."""

from __future__ import annotations

from torch import Tensor

from atlpa.losses.reduction import Reduction, reduce


def logit_pairing_loss(clean: Tensor, adversarial: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Squared difference between the logits of clean images and of their adversarial counterparts.

    As in the authors' code: the mean over the classes as well as over the images, and the gradient flows into both
    branches.

    Args:
        clean: ``(B, C)`` logits of the clean images.
        adversarial: ``(B, C)`` logits of their adversarial counterparts.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images; over classes it is always the mean.

    Returns:
        A scalar, or ``(B,)`` without reduction.
    """
    if clean.shape != adversarial.shape:
        raise ValueError(f"clean logits {tuple(clean.shape)}, adversarial {tuple(adversarial.shape)}; must agree")
    return reduce((clean - adversarial).square().mean(dim=-1), reduction)
