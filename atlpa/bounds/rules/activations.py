"""Activations, and the largest of a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from atlpa.bounds.activations import Rectifier
from atlpa.bounds.operations import Activation, MaxPool
from atlpa.bounds.propagation import Value
from atlpa.bounds.rules.made import Made, NoBound


def relu(x: Value, inplace: bool = False) -> Made:
    """max(x, 0)."""
    del inplace
    return Rectifier(), [x]


def leaky_relu(x: Value, negative_slope: float = 0.01, inplace: bool = False) -> Made:
    """max(x, a x)."""
    del inplace
    if not 0 <= negative_slope <= 1:
        raise NoBound(f"a slope of {negative_slope:g}")
    return Rectifier(negative_slope), [x]


def elu(x: Value, alpha: float = 1.0, inplace: bool = False) -> Made:
    """An exponential linear unit."""
    del inplace
    if alpha < 0:
        raise NoBound(f"alpha {alpha:g}")
    return rising(x, lambda x: F.elu(x, alpha))


def clamped(x: Value, min: Any = None, max: Any = None) -> Made:
    """Numbers cut off at constants."""
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        raise NoBound("tensors as limits")
    return rising(x, lambda x: x.clamp(min, max))


def rising(x: Value, function: Callable[[Tensor], Tensor]) -> Made:
    """Another activation that nowhere falls."""
    return Activation(function), [x]


def activation(function: Callable[[Tensor], Tensor]) -> Callable[..., Made]:
    """The rule of an activation that nowhere falls and has no options but ``inplace``."""

    def rule(x: Value, inplace: bool = False) -> Made:
        del inplace
        return rising(x, function)

    return rule


def max_pool2d(
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Made:
    """The largest number of each window."""
    if return_indices:
        raise NoBound("the places of the largest")
    how = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    return MaxPool(kernel_size=kernel_size, **how), [x]
