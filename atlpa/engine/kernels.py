"""Ways to carry out a convolution with fixed weights: forwards, and the gradient with respect to its input alone.

All compute relu(conv(x) + bias + residual), where ReLU and residual may be absent. On a CPU with oneDNN both ride on
the convolution, and most gradients are convolutions themselves, with the kernel turned around.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from atlpa.engine.operators import onednn


@dataclass(frozen=True)
class Weights:
    """A convolution: ``weight`` ``(O, C/groups, kh, kw)``, ``bias`` ``(O,)``, and how it moves over its input."""

    weight: Tensor
    bias: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def simple(self) -> bool:
        """Whether every output channel sees every input channel, without gaps."""
        return self.groups == 1 and set(self.dilation) == {1}


class Plain:
    """As torch does it, on any device."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def forward(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        """``(B, C, H, W)`` to ``(B, O, H', W')``."""
        w = self.weights
        y = F.conv2d(x, w.weight, w.bias, w.stride, w.padding, w.dilation, w.groups)
        if residual is not None:
            y += residual
        return y.relu_() if relu else y

    def backward(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        """The gradient at the convolution's output ``(B, O, H', W')`` to that at its input, of this shape."""
        w = self.weights
        anything = gradient.new_empty(1).expand(shape)  # only the shape of the input is read
        geometry = (w.stride, w.padding, w.dilation, False, (0, 0), w.groups)
        back: Tensor = torch.ops.aten.convolution_backward(
            gradient, anything, w.weight, None, *geometry, (True, False, False)
        )[0]
        return back

    def add_backward(self, onto: Tensor, gradient: Tensor) -> None:
        """Add that gradient to one from elsewhere, which has the input's shape and channels-last memory."""
        onto += self.backward(gradient, onto.shape)


class Fused(Plain):
    """oneDNN's convolution, with the additions and the ReLU in the same pass over the output."""

    def __init__(self, weights: Weights, shape: torch.Size) -> None:
        super().__init__(weights)
        w = weights
        self.shape = shape
        self.packed = _packed(w.weight, shape, w.stride, w.padding, w.dilation, w.groups)

    @cached_property
    def turned(self) -> Turned | None:
        """The gradient as a convolution, which who only judges never needs."""
        return Turned.of(self.weights, self.shape)

    def forward(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        w = self.weights
        how = (self.packed, w.bias, w.padding, w.stride, w.dilation, w.groups)
        y: Tensor
        if residual is None:
            y = onednn("_convolution_pointwise")(x, *how, "relu" if relu else "none", [], "")
        else:
            then = "relu" if relu else None
            y = onednn("_convolution_pointwise")(x, residual, *how, "add", 1.0, then, [], None)
        return y

    def backward(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        return self.turned(gradient) if self.turned else super().backward(gradient, shape)

    def add_backward(self, onto: Tensor, gradient: Tensor) -> None:
        if self.turned:
            self.turned.add(onto, gradient)
        else:
            super().add_backward(onto, gradient)


class Turned:
    """The gradient of a convolution of stride 1: a convolution with the kernel turned by 180° and channels swapped."""

    def __init__(self, weight: Tensor, padding: tuple[int, ...], shape: torch.Size) -> None:
        turned = weight if weight.shape[2:] == (1, 1) else weight.flip(2, 3)
        turned = turned.transpose(0, 1).contiguous(memory_format=torch.channels_last)
        self.padding = padding
        self.packed = _packed(turned, torch.Size((shape[0], len(weight), *shape[2:])), (1, 1), padding)

    @classmethod
    def of(cls, weights: Weights, shape: torch.Size) -> Turned | None:
        """For a convolution on inputs of this shape, if its gradient is such a convolution."""
        padding = tuple(size - 1 - given for size, given in zip(weights.weight.shape[2:], weights.padding, strict=True))
        if not weights.simple or set(weights.stride) != {1} or min(padding) < 0:
            return None
        return cls(weights.weight, padding, shape)

    def __call__(self, gradient: Tensor) -> Tensor:
        """The gradient at the output to that at the input."""
        how = (self.packed, None, self.padding, (1, 1), (1, 1), 1)
        back: Tensor = onednn("_convolution_pointwise")(gradient, *how, "none", [], "")
        return back

    def add(self, onto: Tensor, gradient: Tensor) -> None:
        """Add it in the same pass."""
        how = (self.packed, None, self.padding, (1, 1), (1, 1), 1)
        onednn("_convolution_pointwise_")(onto, gradient, *how, "add", 1.0, None, [], None)


def _packed(
    weight: Tensor,
    shape: torch.Size,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """The weights in the order that oneDNN likes best for inputs of this shape."""
    reorder = onednn("_reorder_convolution_weight")
    packed: Tensor = reorder(weight, padding, stride, dilation, groups, list(shape))
    return packed
