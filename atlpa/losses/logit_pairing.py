"""Pairing the predictions on clean and adversarial images: ALP (Kannan et al. 2018), TRADES (Zhang et al. 2019)."""

from __future__ import annotations

from torch import Tensor

from atlpa.losses.inputs import checked_pair
from atlpa.losses.reduction import Reduction, reduce
from atlpa.losses.top_classes import top_classes


def logit_pairing_loss(clean: Tensor, adversarial: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Squared difference between the logits of clean images and of their adversarial counterparts.

    As in the authors' code: the mean over the classes as well as over the images, and the gradient flows into both
    branches.

    Args:
        clean: ``(B, C)`` logits of the clean images.
        adversarial: ``(B, C)`` logits of their adversarial counterparts.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images; over classes it is always the mean.

    Returns:
        A scalar, or ``(B,)`` without reduction; in at least float32.

    Raises:
        ValueError: the shapes are others, or differ.

    Examples:
        >>> import torch
        >>> from atlpa.losses import logit_pairing_loss
        >>> logit_pairing_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])).item()  # (0² + 2²)/2
        2.0
    """
    clean, adversarial = checked_pair(clean, adversarial)
    return reduce((clean - adversarial).square().mean(dim=1), reduction)


def top_k_pairing_loss(
    clean: Tensor, adversarial: Tensor, k: int | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Logit pairing on the K classes that rank first on the clean image.

    The paper's text and Fig. 2 speak of pairing tolerant logits, while Eq. 3 looks at one image alone; this is the
    paired reading, for ablation. With k = C it is ``logit_pairing_loss``.

    Args:
        clean: ``(B, C)`` logits of the clean images.
        adversarial: ``(B, C)`` logits of their adversarial counterparts.
        k: K, 1 … C; by default the paper's 5, or C where there are fewer classes.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images; over classes it is always the mean.

    Returns:
        A scalar, or ``(B,)`` without reduction; in at least float32.

    Raises:
        ValueError: the shapes are others, or differ, or K is outside 1 … C.

    Examples:
        >>> import torch
        >>> from atlpa.losses import top_k_pairing_loss
        >>> clean, adversarial = torch.tensor([[5.0, 3.0, 0.0]]), torch.tensor([[4.0, 3.0, 9.0]])
        >>> top_k_pairing_loss(clean, adversarial, k=2).item()  # the third class is not looked at
        0.5
    """
    clean, adversarial = checked_pair(clean, adversarial)
    classes = clean.topk(top_classes(k, clean.shape[1]), dim=1).indices
    return logit_pairing_loss(clean.gather(1, classes), adversarial.gather(1, classes), reduction)


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

    Examples:
        >>> import torch
        >>> from atlpa.losses import kl_pairing_loss
        >>> clean, adversarial = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
        >>> round(kl_pairing_loss(clean[None], adversarial[None]).item(), 4)  # (log 2 + log ⅔)/2
        0.1438
    """
    log_p, log_q = (logits.log_softmax(dim=1) for logits in checked_pair(clean, adversarial))
    # Written out, since torch's kl_div falls back to a loop over the images under torch.func.vmap.
    return reduce((log_p.exp() * (log_p - log_q)).sum(dim=1), reduction)
