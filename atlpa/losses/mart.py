"""The two losses of MART, which looks harder at images that the network gets wrong (Wang et al. 2020)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from atlpa.losses.inputs import checked_labels, checked_logits
from atlpa.losses.logit_pairing import kl_pairing_loss
from atlpa.losses.reduction import Reduction, reduce


def boosted_cross_entropy_loss(logits: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
    r"""Cross-entropy that also pushes the likeliest wrong class down: BCE of MART, on adversarial images there.

    .. math:: -\log p_y - \log\big(1 - \max_{j \ne y} p_j\big)

    As in the authors' code the second logarithm is of 1.0001 in place of 1, which bounds it by log 10⁴.

    Args:
        logits: ``(B, C)``, C at least 2.
        labels: ``(B,)`` class indices.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images.

    Returns:
        A scalar, or ``(B,)`` without reduction; in at least float32.

    Raises:
        ValueError: the shapes are others, or there is one class alone.

    Examples:
        >>> import torch
        >>> from atlpa.losses import boosted_cross_entropy_loss
        >>> loss = boosted_cross_entropy_loss(torch.zeros(1, 2), torch.tensor([0]))
        >>> round(loss.item(), 3)  # −2 log ½
        1.386
    """
    logits = checked_logits(logits)
    labels = checked_labels(labels, logits)
    if logits.shape[1] < 2:
        raise ValueError("logits of one class; there is no wrong one")
    wrong = logits.softmax(dim=1).scatter(1, labels[:, None], 0.0).amax(dim=1)
    return reduce(F.cross_entropy(logits, labels, reduction="none") - (1.0001 - wrong).log(), reduction)


def weighted_kl_pairing_loss(
    clean: Tensor, adversarial: Tensor, labels: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    r"""KL divergence of each image times the probability that its clean image is wrong: :math:`KL(p \| p') (1 - p_y)`.

    As in the authors' code, gradients flow into both predictions and through the weight.

    Args:
        clean: ``(B, C)`` logits of the clean images.
        adversarial: ``(B, C)`` logits of their adversarial counterparts.
        labels: ``(B,)`` class indices.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images; over classes it is always the sum.

    Returns:
        A scalar, or ``(B,)`` without reduction, in nats; in at least float32.

    Raises:
        ValueError: the shapes are others, or differ.

    Examples:
        >>> import torch
        >>> from atlpa.losses import weighted_kl_pairing_loss
        >>> clean, adversarial = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
        >>> loss = weighted_kl_pairing_loss(clean[None], adversarial[None], torch.tensor([0]))
        >>> round(loss.item(), 4)  # half of the divergence, 0.1438
        0.0719
    """
    divergence = kl_pairing_loss(clean, adversarial, "none")
    clean = checked_logits(clean)
    labels = checked_labels(labels, clean)
    right = clean.softmax(dim=1).gather(1, labels[:, None])[:, 0]
    return reduce(divergence * (1 - right), reduction)
