"""Whatever a user's images come in, as labeled images by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from atlpa.attacks.inputs import check_batch
from atlpa.data.images import Images, InMemory
from atlpa.model_state import Logits


def as_images(images: Any, labels: Any = None, dtype: torch.dtype | None = None) -> Images:
    """Images of whatever kind as this package holds them; floats in a type, if one is given.

    Raises:
        ValueError: they are no floats in [0, 1], or do not come with one class each.
    """
    # A torchvision data set may have labels too, but no tensor of them, and gives one image at a time.
    if labels is None and isinstance(getattr(images, "labels", None), Tensor) and hasattr(images, "__getitem__"):
        return cast(Images, images)
    if labels is None:
        images, labels = _collected(images)
    elif not isinstance(images, (Tensor, np.ndarray, Sequence)):
        raise ValueError(f"{type(images).__name__} brings its own labels; leave labels out")
    pixels, classes = torch.as_tensor(images), torch.as_tensor(labels)
    if pixels.ndim != 4 or not len(pixels):
        raise ValueError(f"images {tuple(pixels.shape)}; give (N, 3, H, W), N ≥ 1")
    batch = check_batch(pixels, classes.to(pixels.device))
    return InMemory(batch.images.to(dtype or pixels.dtype), batch.labels)


def _collected(loader: Iterable[Any]) -> tuple[Tensor, Tensor]:
    """All batches of a loader, one behind the other."""
    if isinstance(loader, Tensor) or not isinstance(loader, Iterable):
        raise ValueError(f"labels are missing for images of type {type(loader).__name__}; give one class per image")
    batches = []
    for batch in loader:
        if not isinstance(batch, Sequence) or len(batch) < 2:
            given = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, Sequence) else type(batch).__name__
            raise ValueError(f"the batches of {type(loader).__name__} are {given}; give (images, labels)")
        batches.append((torch.as_tensor(batch[0]), torch.as_tensor(batch[1])))
    if not batches:
        raise ValueError("a loader without batches; give at least one image")
    if len(shapes := {pixels.shape[1:] for pixels, _ in batches}) > 1:
        raise ValueError(f"batches of images {' and '.join(map(str, map(tuple, shapes)))}; give images of one size")
    pixels, classes = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return pixels, classes


def precision_of(model: Logits) -> torch.dtype | None:
    """The type of a model's weights, where images of this type hold every pixel; else ``None``."""
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    return next((weight.dtype for weight in weights if weight.dtype in (torch.float32, torch.float64)), None)
