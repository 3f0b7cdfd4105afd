"""Input gradient regularization (Ross & Doshi-Velez 2017)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

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
        A scalar, or ``(B,)`` without reduction, through which gradients flow.
    """
    loss = F.cross_entropy(logits, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images, create_graph=True)
    return reduce(gradient.flatten(start_dim=1).square().sum(dim=1), reduction)
