"""Layers with weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from atlpa.bounds.operations import Affine
from atlpa.bounds.propagation import Value
from atlpa.bounds.rules.arithmetic import scaled
from atlpa.bounds.rules.made import Made, NoBound


def linear(x: Value, weight: Tensor, bias: Tensor | None = None) -> Made:
    """W x + b."""
    return (
        Affine(
            lambda x: F.linear(x, weight.to(x)),
            bias,
            lambda x: F.linear(x, weight.abs().to(x)),
            lambda rows, _: rows @ weight.to(rows),
        ),
        [x],
    )


def conv2d(
    x: Value,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Made:
    """A convolution with zeros around the map."""
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def transposed(rows: Tensor, shape: torch.Size) -> Tensor:
        found: Tensor = conv2d_input((len(rows), *shape), weight.to(rows), rows, **how)  # type: ignore[no-untyped-call]
        return found

    return (
        Affine(
            lambda x: F.conv2d(x, weight.to(x), None, **how),
            None if bias is None else bias.view(-1, 1, 1),
            lambda x: F.conv2d(x, weight.abs().to(x), None, **how),
            None if isinstance(padding, str) else transposed,
        ),
        [x],
    )


def convolution(layer: nn.Conv2d, x: Value) -> Made:
    """A layer's convolution."""
    if layer.padding_mode != "zeros":
        raise NoBound(f"padding_mode {layer.padding_mode}")
    return conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def batch_norm(layer: nn.BatchNorm2d, x: Value) -> Made:
    """What BatchNorm does in evaluation mode: a factor and an offset for each channel."""
    if layer.running_mean is None or layer.running_var is None:
        raise NoBound("statistics of the batch, which tie images together")
    factor = (layer.running_var.to(x.box.lower) + layer.eps).rsqrt()
    factor = factor if layer.weight is None else factor * layer.weight
    offset = -layer.running_mean * factor
    offset = offset if layer.bias is None else offset + layer.bias
    shape = (-1, *(1,) * (x.box.lower.ndim - 2))
    return scaled(x, factor.view(shape), offset.view(shape))
