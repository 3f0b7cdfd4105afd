"""Kinds of layer on which oneDNN wastes work, computed as something else that gives the same."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from atlpa.engine.kernels import Fused, Plain, Turned, Weights
from atlpa.engine.operators import onednn


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
        reorder = onednn("_reorder_linear_weight")
        self.there, self.back = (reorder(m.contiguous(), shape[0]) for m in (matrix, matrix.T))
        self.bias = weights.bias.repeat(math.prod(self.out))

    def forward(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        activation = "relu" if relu and residual is None else "none"
        flat: Tensor = onednn("_linear_pointwise")(_flat(x), self.there, self.bias, activation, [], "")
        y = flat.reshape(len(x), *self.out, -1).permute(0, 3, 1, 2)
        if residual is None:
            return y
        y += residual
        return y.relu_() if relu else y

    def backward(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        flat: Tensor = onednn("_linear_pointwise")(_flat(gradient), self.back, None, "none", [], "")
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
