"""Input gradient regularization (Ross & Doshi-Velez 2017)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from atlpa.losses.inputs import at_least_float32, checked_labels, checked_logits
from atlpa.losses.reduction import Reduction, reduce


def input_gradient_loss(logits: Tensor, images: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
    r"""Squared length of each image's gradient of its cross-entropy: :math:`\|\nabla_{x_i} CE_i\|_2^2`.

    The authors add λ·½·Σ‖∂(mean CE)/∂x‖², which for a batch of B is λ/(2B) times the mean of this; their λ thus means
    another strength for another B, a weight of this loss does not. Its own gradient is a double backpropagation.

    Args:
        logits: ``(B, C)``, computed from ``images``.
        images: ``(B, 3, H, W)`` that required gradients when the logits were computed.
        labels: ``(B,)``.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images.

    Returns:
        A scalar, or ``(B,)`` without reduction, through which gradients flow; in at least float32.

    Raises:
        ValueError: the images require no gradient, the logits were not computed from them, or shapes differ.

    Examples:
        >>> import torch
        >>> from atlpa.losses import input_gradient_loss
        >>> images = torch.zeros(1, 3, 1, 1, requires_grad=True)
        >>> logits = torch.stack([images.sum(dim=(1, 2, 3)), torch.zeros(1)], dim=1)
        >>> input_gradient_loss(logits, images, torch.tensor([0])).item()  # three pixels, each of slope −½
        0.75
    """
    logits = checked_logits(logits)
    labels = checked_labels(labels, logits)
    if len(images) != len(logits):
        raise ValueError(f"images {tuple(images.shape)}, logits {tuple(logits.shape)}; must be of one batch")
    if not images.requires_grad:
        raise ValueError("images require no gradient; call images.requires_grad_() before the logits are computed")
    loss = F.cross_entropy(logits, labels, reduction="sum")
    gradient = None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss, images, create_graph=True, allow_unused=True)
    if gradient is None:
        raise ValueError("logits do not depend on images; compute them from these very images, outside no_grad")
    return reduce(at_least_float32(gradient).flatten(start_dim=1).square().sum(dim=1), reduction)
