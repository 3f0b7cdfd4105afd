"""What ``reduction=`` means for every loss of this package."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

Reduction = Literal["mean", "sum", "none"]


def check_reduction(reduction: str) -> None:
    """Refuse an unknown one.

    Raises:
        ValueError: with those there are.
    """
    if reduction not in get_args(Reduction):
        raise ValueError(f"unknown reduction {reduction!r}; valid: {', '.join(get_args(Reduction))}")


def reduce(per_image: Tensor, reduction: Reduction) -> Tensor:
    """Reduce one value per image, shape ``(B,)``, as torch's own losses do."""
    check_reduction(reduction)
    if reduction == "none":
        return per_image
    return per_image.mean() if reduction == "mean" else per_image.sum()
