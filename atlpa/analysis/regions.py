"""Mean activation inside key regions (Table 2)."""

from __future__ import annotations

from torch import Tensor

from atlpa.data.masks import INSIDE, OUTSIDE


def activation_in_regions(overlays: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of a normalized map inside and outside each image's key region.

    A map that is bright everywhere scores high inside; its contrast, inside − outside, does not.

    Args:
        overlays: ``(B, H, W)`` in [0, 1].
        masks: ``(B, H, W)``: inside, outside or unknown; unknown pixels count nowhere.

    Returns:
        Both ``(B,)``; not a number where a mask has no such pixel.
    """
    if overlays.shape != masks.shape:
        raise ValueError(f"maps {tuple(overlays.shape)} and masks {tuple(masks.shape)}; give the same shape")
    sums = [
        (overlays * (masks == value)).sum(dim=(1, 2)) / (masks == value).sum(dim=(1, 2)) for value in (INSIDE, OUTSIDE)
    ]
    return sums[0], sums[1]
