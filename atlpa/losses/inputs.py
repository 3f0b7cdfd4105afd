"""What the losses take: logits, labels and the exponent p, checked; and the precision that they compute in."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """A tensor of fewer bits in float32, since squares and sums of half precision overflow; float64 stays."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def checked_logits(logits: Tensor, what: str = "logits") -> Tensor:
    """Logits in at least float32.

    Raises:
        ValueError: they are not ``(B, C)``.
    """
    if logits.ndim != 2:
        raise ValueError(f"{what} {tuple(logits.shape)}; must be (B, C), one row per image")
    return at_least_float32(logits)


def checked_pair(clean: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of clean images and of their adversarial counterparts in at least float32.

    Raises:
        ValueError: they are not both ``(B, C)``; torch would broadcast a batch of one.
    """
    if clean.shape != adversarial.shape:
        raise ValueError(f"clean logits {tuple(clean.shape)}, adversarial {tuple(adversarial.shape)}; must agree")
    return checked_logits(clean, "clean logits"), checked_logits(adversarial, "adversarial logits")


def checked_labels(labels: Tensor, logits: Tensor) -> Tensor:
    """One class index per image, of the integers that torch looks up by.

    Raises:
        ValueError: the labels are not ``(B,)``, or no integers.
    """
    if labels.shape != logits.shape[:1]:
        raise ValueError(f"labels {tuple(labels.shape)}, logits {tuple(logits.shape)}; labels must be (B,)")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels of type {labels.dtype}; must be integers, one class per image")
    return labels.long()


def check_exponent(p: float) -> None:
    """Refuse a p that makes no norm whose gradient is of use.

    Raises:
        ValueError: p is below 1, infinite or not a number.
    """
    if not 1 <= p < math.inf:
        raise ValueError(f"p={p}; a norm needs p >= 1, finite")
