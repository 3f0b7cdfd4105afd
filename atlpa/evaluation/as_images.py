"""Whatever a user's images come in, as labeled images by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from atlpa.attacks.inputs import check_batch
from atlpa.data.images import Images, InMemory
from atlpa.errors import reason
from atlpa.model_state import Logits

EXACT = (torch.float32, torch.float64)
"""What images are attacked in: half precision cannot tell ε from its neighbors."""


def as_images(images: Any, labels: Any = None, dtype: torch.dtype | None = None) -> Images:
    """Images of whatever kind as this package holds them; floats in a type, if one is given.

    Raises:
        ValueError: they are no floats in [0, 1], or do not come with one class each.
    """
    # A torchvision data set may have labels too, but no tensor of them, and gives one image at a time.
    if labels is None and isinstance(getattr(images, "labels", None), Tensor) and hasattr(images, "__getitem__"):
        return cast(Images, images)
    pixels, classes = as_tensors(images, labels)
    if pixels.ndim != 4 or not len(pixels):
        raise ValueError(f"images {tuple(pixels.shape)}; give (N, 3, H, W), N ≥ 1")
    batch = check_batch(pixels, classes.to(pixels.device))
    return InMemory(batch.images.to(dtype or (pixels.dtype if pixels.dtype in EXACT else torch.float32)), batch.labels)


def as_tensors(images: Any, labels: Any = None) -> tuple[Tensor, Tensor]:
    """Images and labels of whatever kind, in memory; what they hold is not looked at.

    Raises:
        ValueError: they are no arrays, or do not come together.
    """
    if labels is None:
        return _collected(images)
    if not isinstance(images, (Tensor, np.ndarray, Sequence)):
        raise ValueError(f"{type(images).__name__} brings its own labels; leave labels out")
    try:
        return torch.as_tensor(images), torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"images or labels are no array of numbers: {reason(error)}") from error


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
    """The type of a model's weights, in which images are held; ``None`` where it has none, or tells nobody.

    Raises:
        ValueError: they are in half precision, in which images cannot be moved by ε.
    """
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    kind = next((weight.dtype for weight in weights if weight.is_floating_point()), None)
    if kind not in (None, *EXACT):
        raise ValueError(f"the model's weights are of {kind}, in which no image can be moved by ε; give model.float()")
    return kind
