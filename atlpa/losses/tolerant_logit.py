"""The tolerant logit loss, Eq. 3 of the paper."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from atlpa.losses.reduction import Reduction, reduce


def tolerant_logit_loss(
    logits: Tensor,
    k: int = 5,
    weights: Sequence[float] | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Keep the top logit close to the ones that follow it (Eq. 3).

    .. math:: L_{TL} = \max\Big(f_{a_1} - \sum_{k=2}^{K} w_k f_{a_k},\ 0\Big)

    where :math:`f_{a_k}` is the k-th largest logit. With the default weights the hinge never binds and a constant
    added to all logits changes nothing; where the true class is on top, cross-entropy + α·L_TL is then exactly
    cross-entropy against a target with 1 − α on the true class and α/(K−1) on each of the ranks 2 … K.

    Args:
        logits: ``(B, C)``; probabilities serve as well.
        k: K, the number of top classes; 2 … C.
        weights: w_2 … w_K, K − 1 non-negative numbers; by default 1/(K−1) each (Yang et al. 2018).
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images.

    Returns:
        A scalar, or ``(B,)`` without reduction.
    """
    classes = logits.shape[-1]
    if not 2 <= k <= classes:
        raise ValueError(f"k={k} top classes of {classes}; k must lie in 2 … {classes}")
    if weights is None:
        weights = [1 / (k - 1)] * (k - 1)
    if len(weights) != k - 1 or any(weight < 0 for weight in weights):
        raise ValueError(f"weights={list(weights)}; k={k} needs {k - 1} non-negative weights w_2 … w_{k}")
    ranked = logits.topk(k, dim=-1).values
    return reduce(
        (ranked[..., 0] - ranked[..., 1:] @ torch.as_tensor(weights, dtype=logits.dtype, device=logits.device)).clamp(
            min=0
        ),
        reduction,
    )
