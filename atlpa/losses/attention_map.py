"""Attention maps and the attention map loss, Eq. 4 of the paper."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from atlpa.losses.reduction import Reduction, reduce


def attention_map(features: Tensor, p: float = 2) -> Tensor:
    """The paper's F: absolute activations raised to the power of p, summed over channels.

    Args:
        features: ``(B, C, H, W)``, the output of a stage.
        p: the exponent; at least 1.

    Returns:
        ``(B, H, W)``, non-negative, in float32 where the features have fewer bits.
    """
    # Σ|a|^p = ‖a‖_p^p: one pass over the features each way, which no copy of their size has to wait for.
    precision = torch.promote_types(features.dtype, torch.float32)
    norm: Tensor = torch.linalg.vector_norm(features, ord=p, dim=1, dtype=precision)
    return norm.pow(p)


def attention_map_loss(
    clean: Sequence[Tensor],
    adversarial: Sequence[Tensor],
    p: float = 2,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Distance between the normalized attention maps of clean images and of their adversarial counterparts (Eq. 4).

    .. math:: L_{AT} = \sum_{j \in I}
        \left\| \frac{Q_{ADV}^j}{\|Q_{ADV}^j\|_2} - \frac{Q_O^j}{\|Q_O^j\|_2} \right\|_p,
        \qquad Q^j = \mathrm{vec}(F(A^j))

    With p = 2 each stage adds at most √2. The norm is not squared. An all-zero map stays zero, and where both maps
    agree the gradient is 0: nothing here divides by zero.

    Args:
        clean: one feature map ``(B, C, H, W)`` a stage, from the clean images.
        adversarial: the same stages from the adversarial images, in the same order.
        p: both the exponent inside F and the norm outside, as in the paper; at least 1.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images; stages are always summed.

    Returns:
        A scalar, or ``(B,)`` without reduction.
    """
    if p < 1:
        raise ValueError(f"p={p}; a norm needs p >= 1")
    if len(clean) != len(adversarial) or not clean:
        raise ValueError(f"{len(clean)} clean and {len(adversarial)} adversarial stages; give the same, at least one")
    distances = [
        torch.linalg.vector_norm(_normalized(a, p) - _normalized(o, p), ord=p, dim=1)
        for o, a in zip(clean, adversarial, strict=True)
    ]
    return reduce(torch.stack(distances).sum(dim=0), reduction)


def _normalized(features: Tensor, p: float) -> Tensor:
    """vec(F(A)) / ‖vec(F(A))‖₂, shape ``(B, H·W)``; zero where the map is zero."""
    q = attention_map(features, p).flatten(start_dim=1)
    length: Tensor = torch.linalg.vector_norm(q, dim=1, keepdim=True)
    normalized: Tensor = q / length.masked_fill(length == 0, 1)
    return normalized
