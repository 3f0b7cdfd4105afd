"""The direction of attacks with momentum (Dong et al. 2018)."""

from __future__ import annotations

from torch import Tensor


def accumulated(direction: Tensor, gradient: Tensor, momentum: float) -> Tensor:
    """μ · (the direction so far) + the gradient over its 1-norm, image by image; without μ, the gradient itself.

    Args:
        direction: ``(B, C, H, W)``.
        gradient: likewise.
        momentum: μ.
    """
    if not momentum:
        return gradient
    size = gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
    return momentum * direction + gradient / size.clamp(min=1e-30)
