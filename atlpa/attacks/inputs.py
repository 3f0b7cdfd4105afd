"""What an attack is given, looked at once before it starts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class AttackBatch(NamedTuple):
    """A batch to attack.

    Fields:
        images: ``(B, 3, H, W)`` in [0, 1], part of no graph.
        labels: ``(B,)`` int64, counted from 0.
        highest: the highest label, as far as it is known; else −1.
    """

    images: Tensor
    labels: Tensor
    highest: int = -1

    def checked_logits(self, logits: Tensor) -> Tensor:
        """A model's logits ``(B, C)`` as they are.

        Raises:
            ValueError: they have no such class.
        """
        if self.highest >= logits.shape[1]:
            raise ValueError(f"label {self.highest} but {logits.shape[1]} classes; labels are counted from 0")
        return logits


def check_batch(images: Tensor, labels: Tensor) -> AttackBatch:
    """A batch that can be attacked. A device is waited for once.

    Raises:
        ValueError: images that are no floats in [0, 1] (NaN is in no range), or labels other than one integer from 0
            for each image.
    """
    for given in (images, labels):
        if given.layout != torch.strided or given.is_quantized:
            raise ValueError("sparse or quantized tensors; attacks take plain ones: to_dense() or dequantize() them")
    if not images.is_floating_point():
        raise ValueError(f"images of type {images.dtype}; attacks take floats in [0, 1]: divide 8-bit pixels by 255")
    if labels.shape != images.shape[:1]:
        shapes = f"labels {tuple(labels.shape)} for images {tuple(images.shape)}"
        raise ValueError(f"{shapes}; give one class for each image: (B,) for (B, 3, H, W)")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels of type {labels.dtype}; give integer classes, counted from 0")
    images, labels = images.detach(), labels.long()
    if not images.numel():
        return AttackBatch(images, labels)
    extremes = torch.stack([extreme.float() for extreme in (*images.aminmax(), *labels.aminmax())])
    low, high, lowest, highest = extremes.cpu().tolist()
    if not (low >= 0 and high <= 1):
        remedy = "divide 8-bit pixels by 255, and normalize inside the model"
        raise ValueError(f"images from {low:.8g} to {high:.8g}; attacks take images in [0, 1]: {remedy}")
    if lowest < 0:
        raise ValueError(f"labels from {lowest:.0f}; give classes counted from 0")
    return AttackBatch(images, labels, int(highest))
