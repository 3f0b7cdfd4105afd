"""Ways to carry out one convolution with fixed weights: forwards, and the gradient with respect to its input alone.

All compute relu(conv(x) + bias + residual), where ReLU and residual may be absent. On a CPU with oneDNN both ride on
the convolution, and most gradients are convolutions themselves, with the kernel turned around; two kinds of layer on
which oneDNN is slow are computed as something else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

ONEDNN = torch.ops.mkldnn
HANDLED = (torch.float32, torch.bfloat16)

# How many images, or places of their maps, must pass a layer before arranging its weights anew has paid for itself.
WORTH_A_MATRIX = 100
WORTH_PACKING = 1000


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
            y = ONEDNN._convolution_pointwise(x, *how, "relu" if relu else "none", [], "")
        else:
            y = ONEDNN._convolution_pointwise(x, residual, *how, "add", 1.0, "relu" if relu else None, [], None)
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
        back: Tensor = ONEDNN._convolution_pointwise(gradient, *how, "none", [], "")
        return back

    def add(self, onto: Tensor, gradient: Tensor) -> None:
        """Add it in the same pass."""
        how = (self.packed, None, self.padding, (1, 1), (1, 1), 1)
        ONEDNN._convolution_pointwise_(onto, gradient, *how, "add", 1.0, None, [], None)


class Sparse(Fused):
    """A 1×1 convolution that reads every s-th pixel: so does its gradient, which has stride 1 on these pixels."""

    @cached_property
    def turned(self) -> Turned:
        shape = torch.empty(self.shape, device="meta")[self.read].shape
        return Turned(self.weights.weight, (0, 0), shape)

    @property
    def read(self) -> tuple[slice, ...]:
        """The pixels."""
        rows, columns = self.weights.stride
        return slice(None), slice(None), slice(None, None, rows), slice(None, None, columns)

    def backward(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        back = gradient.new_zeros(shape).contiguous(memory_format=torch.channels_last)
        back[self.read] = self.turned(gradient)
        return back

    def add_backward(self, onto: Tensor, gradient: Tensor) -> None:
        onto[self.read] += self.turned(gradient)


class FewChannels(Fused):
    """A strided convolution of the image itself: oneDNN's gradient for three channels runs at a sixth of its speed.

    The pixels of one phase (their place modulo the stride s) see only every s-th place of the kernel; so the phases'
    gradients are the channels of one convolution of stride 1, and putting them in place is a pixel shuffle.
    """

    def __init__(self, weights: Weights, shape: torch.Size) -> None:
        super().__init__(weights, shape)
        (outputs, channels, _, size), s, padding = weights.weight.shape, weights.stride[0], weights.padding[0]
        before = -padding % s  # zeros before the kernel, so that its padding is whole strides
        places = math.ceil((size + before) / s)  # of the kernel, in each phase
        kernel = F.pad(weights.weight, (before, places * s - size - before) * 2)
        phases = F.pixel_unshuffle(kernel.flatten(0, 1)[:, None], s).reshape(outputs, channels * s * s, places, places)
        self.first = (padding + before) // s  # rows and columns of the phases that lie in the padding
        self.phases = Turned(phases, (places - 1, places - 1), shape)

    def backward(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        s, phases = self.weights.stride[0], self.phases(gradient)
        height, width = math.ceil(shape[2] / s), math.ceil(shape[3] / s)
        # Negative padding cuts; a positive one stands for pixels at the edge that no place of the kernel reaches.
        below, right = self.first + height - phases.shape[2], self.first + width - phases.shape[3]
        phases = F.pad(phases, (-self.first, right, -self.first, below)).reshape(len(phases), -1, s, s, height, width)
        pixels = phases.permute(0, 1, 4, 2, 5, 3).reshape(len(phases), -1, height * s, width * s)
        return pixels[:, :, : shape[2], : shape[3]]


class Dense(Plain):
    """A convolution of a map no larger than its kernel, most of which lies in the padding: a matrix does less work."""

    def __init__(self, weights: Weights, shape: torch.Size) -> None:
        super().__init__(weights)
        matrix, self.out = _matrix(weights, shape)
        self.there, self.back = (ONEDNN._reorder_linear_weight(m.contiguous(), shape[0]) for m in (matrix, matrix.T))
        self.bias = weights.bias.repeat(math.prod(self.out))

    def forward(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        activation = "relu" if relu and residual is None else "none"
        flat: Tensor = ONEDNN._linear_pointwise(_flat(x), self.there, self.bias, activation, [], "")
        y = flat.reshape(len(x), *self.out, -1).permute(0, 3, 1, 2)
        if residual is None:
            return y
        y += residual
        return y.relu_() if relu else y

    def backward(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        flat: Tensor = ONEDNN._linear_pointwise(_flat(gradient), self.back, None, "none", [], "")
        return flat.reshape(len(gradient), *shape[2:], shape[1]).permute(0, 3, 1, 2)


def _matrix(w: Weights, shape: torch.Size) -> tuple[Tensor, tuple[int, int]]:
    """A convolution of maps of this shape as ``(H'·W'·O, H·W·C)``, channels running fastest, and (H', W')."""
    (outputs, channels, tall, wide), (height, width) = w.weight.shape, shape[2:]
    rows = (height + 2 * w.padding[0] - tall) // w.stride[0] + 1
    columns = (width + 2 * w.padding[1] - wide) // w.stride[1] + 1
    matrix = w.weight.new_zeros(rows, columns, outputs, height, width, channels)
    for i in range(rows):
        for j in range(columns):
            # Where the kernel's corner lies, and the part of it that lies on the map.
            top, left = i * w.stride[0] - w.padding[0], j * w.stride[1] - w.padding[1]
            kernel = w.weight[:, :, max(0, -top) : height - top, max(0, -left) : width - left].permute(0, 2, 3, 1)
            matrix[i, j, :, max(0, top) : top + tall, max(0, left) : left + wide] = kernel
    return matrix.reshape(rows * columns * outputs, height * width * channels), (rows, columns)


def _flat(maps: Tensor) -> Tensor:
    """``(B, C, H, W)`` to ``(B, H·W·C)``, a view of channels-last memory."""
    return maps.permute(0, 2, 3, 1).flatten(start_dim=1)


def _packed(
    weight: Tensor,
    shape: torch.Size,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """The weights in the order that oneDNN likes best for inputs of this shape."""
    packed: Tensor = ONEDNN._reorder_convolution_weight(weight, padding, stride, dilation, groups, list(shape))
    return packed


def kernel_for(weights: Weights, shape: torch.Size, passes: int) -> Plain:
    """The way that suits these weights and inputs ``(B, C, H, W)`` of this shape, used in about as many passes."""
    weight, places = weights.weight, shape[2] * shape[3]
    if weight.device.type != "cpu" or weight.dtype not in HANDLED or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return Plain(weights)
    if weights.simple and places <= weight.shape[2] * weight.shape[3] and passes * shape[0] >= WORTH_A_MATRIX:
        return Dense(weights, shape)
    square = all(len(set(sizes)) == 1 for sizes in (weights.stride, weights.padding, weight.shape[2:]))
    if weights.simple and square and weight.shape[1] <= 4 and weights.stride[0] > 1:
        return FewChannels(weights, shape)
    if passes * shape[0] * places < WORTH_PACKING:
        return Plain(weights)
    sparse = weights.simple and weight.shape[2:] == (1, 1) and max(weights.stride) > 1 and max(weights.padding) == 0
    return Sparse(weights, shape) if sparse else Fused(weights, shape)
