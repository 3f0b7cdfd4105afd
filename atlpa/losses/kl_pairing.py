"""The regularizer of TRADES (Zhang et al. 2019)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from atlpa.losses.inputs import checked_pair
from atlpa.losses.reduction import Reduction, reduce


def kl_pairing_loss(clean: Tensor, adversarial: Tensor, reduction: Reduction = "mean") -> Tensor:
    r"""KL divergence from the clean to the adversarial prediction: :math:`KL(p(x) \,\|\, p(x'))`.

    Args:
        clean: ``(B, C)`` logits of the clean images.
        adversarial: ``(B, C)`` logits of their adversarial counterparts.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images; over classes it is always the sum.

    Returns:
        A scalar, or ``(B,)`` without reduction, in nats; in at least float32.

    Raises:
        ValueError: the shapes are others, or differ.
    """
    clean, adversarial = checked_pair(clean, adversarial)
    divergence = F.kl_div(adversarial.log_softmax(dim=1), clean.log_softmax(dim=1), reduction="none", log_target=True)
    return reduce(divergence.sum(dim=1), reduction)
