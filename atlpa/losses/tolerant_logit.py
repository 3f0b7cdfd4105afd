"""The tolerant logit loss, Eq. 3 of the paper."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from atlpa.losses.inputs import checked_logits
from atlpa.losses.reduction import Reduction, reduce
from atlpa.losses.top_classes import ranked_classes, top_classes


def tolerant_logit_loss(
    logits: Tensor,
    k: int | None = None,
    weights: Sequence[float] | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Keep the top logit close to the ones that follow it (Eq. 3).

    .. math:: L_{TL} = \max\Big(f_{a_1} - \sum_{k=2}^{K} w_k f_{a_k},\ 0\Big)

    where :math:`f_{a_k}` is the k-th largest logit. With the default weights the hinge never binds and a constant
    added to all logits changes nothing; where the true class is on top, cross-entropy + α·L_TL is then exactly
    cross-entropy against a target with 1 − α on the true class and α/(K−1) on each of the ranks 2 … K.

    Args:
        logits: ``(B, C)``, C at least 2; probabilities serve as well.
        k: K, the number of top classes, 2 … C; by default 1 more than there are weights, and without weights the
            paper's 5, or C where there are fewer classes.
        weights: w_2 … w_K, K − 1 non-negative numbers; by default 1/(K−1) each (Yang et al. 2018).
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images.

    Returns:
        A scalar, or ``(B,)`` without reduction; in at least float32.

    Raises:
        ValueError: another shape, K outside 2 … C, or weights that do not fit it.

    Examples:
        >>> import torch
        >>> from atlpa.losses import tolerant_logit_loss
        >>> logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
        >>> tolerant_logit_loss(logits, k=3).item()  # 3 − (2 + 1)/2
        1.5
        >>> tolerant_logit_loss(logits, weights=[1.0]).item()  # the top logit and the next alone
        1.0
    """
    logits = checked_logits(logits)
    k = top_classes(ranked_classes(k, weights), logits.shape[1], fewest=2)
    ranked = logits.topk(k, dim=1).values
    w = ranked.new_tensor([1 / (k - 1)] * (k - 1) if weights is None else weights)
    # A product and a sum: under autocast a matrix product would be computed in half precision.
    return reduce((ranked[:, 0] - (w * ranked[:, 1:]).sum(dim=1)).clamp(min=0), reduction)
