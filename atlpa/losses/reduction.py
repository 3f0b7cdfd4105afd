"""What ``reduction=`` means for every loss of this package."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Reduction = Literal["mean", "sum", "none"]


def reduce(per_image: Tensor, reduction: Reduction) -> Tensor:
    """Reduce one value an image, shape ``(B,)``, as torch's own losses do."""
    if reduction == "mean":
        return per_image.mean()
    if reduction == "sum":
        return per_image.sum()
    if reduction == "none":
        return per_image
    raise ValueError(f"unknown reduction {reduction!r}; valid: mean, sum, none")
