"""What an attack is given, looked at once before it starts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

ROUNDING = 1e-3
"""By how much the sum of an image's shares may miss 1: half precision, a thousand classes."""


class AttackBatch(NamedTuple):
    """A batch to attack.

    Fields:
        images: ``(B, 3, H, W)`` in [0, 1], part of no graph.
        labels: ``(B,)`` int64, counted from 0; or shares of the classes, ``(B, C)`` float.
        highest: the highest label, as far as it is known; else −1.
        targets: ``(B,)``, the class that each image is driven to, where an attack aims at one.
    """

    images: Tensor
    labels: Tensor
    highest: int = -1
    targets: Tensor | None = None

    def checked_logits(self, logits: Tensor) -> Tensor:
        """A model's logits ``(B, C)`` as they are.

        Raises:
            ValueError: they are no tensor ``(B, C)``, or have no such class.
        """
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"the model gave {given}; it must give logits (B, C)")
        if self.highest >= logits.shape[1]:
            raise ValueError(f"label {self.highest} but {logits.shape[1]} classes; labels are counted from 0")
        if self.labels.ndim == 2 and self.labels.shape != logits.shape:
            shapes = f"shares {tuple(self.labels.shape)} for logits {tuple(logits.shape)}"
            raise ValueError(f"{shapes}; give a share for every class of the model")
        return logits


def dominant_class(labels: Tensor) -> Tensor:
    """The class that counts as right, ``(B,)``: the label itself, or that of the largest share ``(B, C)``."""
    return labels if labels.ndim == 1 else labels.argmax(dim=1)


def check_batch(images: Tensor, labels: Tensor, *, shares: bool = False) -> AttackBatch:
    """A batch that can be attacked. A device is waited for once.

    Args:
        images: ``(B, 3, H, W)`` in [0, 1].
        labels: ``(B,)``.
        shares: whether labels may be shares of the classes instead, ``(B, C)``, as mixed images have them.

    Raises:
        ValueError: images that are no floats in [0, 1] (NaN is in no range), or labels other than one integer from 0
            for each image or, where they may be, shares that are 0 or more and sum to 1.
    """
    for given in (images, labels):
        if not isinstance(given, Tensor):
            raise ValueError(f"images or labels of type {type(given).__name__}; attacks take tensors")
        if given.layout != torch.strided or given.is_quantized:
            raise ValueError("sparse or quantized tensors; attacks take plain ones: to_dense() or dequantize() them")
    if not images.is_floating_point():
        raise ValueError(f"images of type {images.dtype}; attacks take floats in [0, 1]: divide 8-bit pixels by 255")
    if labels.ndim == 2 and labels.is_floating_point() and len(labels) == len(images):
        if not shares:
            raise ValueError(f"shares of classes {tuple(labels.shape)}; give this attack one class for each, (B,)")
        return _checked_shares(images.detach(), labels.detach())
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
    _must_be_pixels(low, high)
    if lowest < 0:
        raise ValueError(f"labels from {lowest:.0f}; give classes counted from 0")
    return AttackBatch(images, labels, int(highest))


def _checked_shares(images: Tensor, shares: Tensor) -> AttackBatch:
    if not images.numel() or not shares.numel():
        return AttackBatch(images, shares)
    extremes = [*images.aminmax(), shares.amin(), *shares.sum(dim=1).aminmax()]
    low, high, lowest, least, most = torch.stack([extreme.float() for extreme in extremes]).cpu().tolist()
    _must_be_pixels(low, high)
    if not (lowest >= 0 and least >= 1 - ROUNDING and most <= 1 + ROUNDING):
        raise ValueError(
            f"shares from {lowest:.4g} that sum to {least:.4g} … {most:.4g}; give shares of 0 or more that sum to 1"
        )
    return AttackBatch(images, shares)


def _must_be_pixels(low: float, high: float) -> None:
    if not (low >= 0 and high <= 1):
        remedy = "divide 8-bit pixels by 255, and normalize inside the model"
        raise ValueError(f"images from {low:.8g} to {high:.8g}; attacks take images in [0, 1]: {remedy}")
