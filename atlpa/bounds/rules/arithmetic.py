"""Values and constants: sums, differences, products and quotients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from atlpa.bounds.operations import Affine
from atlpa.bounds.propagation import Value
from atlpa.bounds.rules.made import Made, NoBound


def scaled(x: Value, factor: Any, offset: Tensor | None = None) -> Made:
    """Each number times a constant, plus a constant."""
    factor = _constant(x, factor)
    return Affine(lambda x: x * factor.to(x), offset, lambda x: x * factor.abs().to(x), single=True), [x]


def shifted(x: Value, offset: Any) -> Made:
    """Each number plus a constant."""
    offset = _constant(x, offset)
    return Affine(lambda x: x, offset[0] if offset.ndim == x.box.lower.ndim else offset, single=True), [x]


def add(x: Any, y: Any, *, alpha: float = 1) -> Made:
    """x + α y, of two values or of one and a constant."""
    if isinstance(x, Value) and isinstance(y, Value):
        if x.box.lower.shape != y.box.lower.shape:
            raise NoBound("a sum of different shapes")
        return Affine(lambda x, y: x + alpha * y, None, lambda x, y: x + abs(alpha) * y), [x, y]
    if isinstance(x, Value):
        return shifted(x, alpha * y)
    return scaled(y, alpha, _constant(y, x))


def sub(x: Any, y: Any) -> Made:
    """x − y, of two values or of one and a constant."""
    return add(x, y, alpha=-1)


def mul(x: Any, y: Any) -> Made:
    """A value times a constant."""
    if isinstance(x, Value) and isinstance(y, Value):
        raise NoBound("a product of two values")
    return scaled(x, y) if isinstance(x, Value) else scaled(y, x)


def div(x: Any, y: Any) -> Made:
    """A value over a constant."""
    if isinstance(y, Value):
        raise NoBound("division by a value")
    divisor = _constant(x, y)
    return Affine(lambda x: x / divisor.to(x), None, lambda x: x / divisor.abs().to(x), single=True), [x]


def _constant(x: Value, given: Any) -> Tensor:
    """A constant beside a value; refused where it would widen the value, or where each image has its own."""
    constant: Tensor = given if isinstance(given, Tensor) else torch.tensor(given, dtype=torch.float64)
    shape = x.box.lower.shape
    own = constant.ndim == len(shape) and len(constant) > 1
    fits = constant.ndim <= len(shape) and all(
        here in (1, there) for here, there in zip(reversed(constant.shape), reversed(shape), strict=False)
    )
    if own or not fits:
        raise NoBound(f"constants of shape {tuple(constant.shape)} for values of shape {tuple(shape)}")
    return constant
