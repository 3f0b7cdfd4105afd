"""relu(BatchNorm(conv(x)) + residual) as one operation that knows the gradient of its inputs alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.fusion import fuse_conv_bn_weights

from atlpa.engine.fallback import Guarded
from atlpa.engine.kernels import Weights

Norm = nn.BatchNorm2d | nn.SyncBatchNorm
NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)
"""In evaluation mode both are the same."""


class Convolution(nn.Module):
    """A convolution of a network in evaluation mode, with what follows it.

    The originals stay the owner's: ``fold`` reads them again, since they may have learned in the meantime.

    Args:
        convolution: the original.
        norm: the BatchNorm behind it, folded into the weights.
        relu: whether a ReLU ends it.
        passes: how often a batch is about to pass with the same weights.

    Fields:
        shares: whether another convolution reads the same input. It is handed on for that one, whose gradient thus
            arrives here, and this one's is added to it.
        owns: whether convolutions alone read the output, so that nobody else holds the gradient that arrives.
    """

    def __init__(self, convolution: nn.Conv2d, norm: Norm | None, relu: bool, passes: int) -> None:
        super().__init__()
        self.originals = (convolution, norm)  # in a tuple, so that they are no submodules
        self.relu, self.passes = relu, passes
        self.shares = self.owns = False
        self.weights: Weights | None = None
        self.kernels: dict[tuple[torch.Size, int], Guarded] = {}

    @torch.no_grad()
    def fold(self, dtype: torch.dtype) -> None:
        """Take over the originals' present weights."""
        convolution, norm = self.originals
        weight = convolution.weight
        bias = weight.new_zeros(len(weight)) if convolution.bias is None else convolution.bias
        if norm is not None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
            weight, bias = fuse_conv_bn_weights(weight, bias, *statistics)
        assert not isinstance(convolution.padding, str)
        geometry = (convolution.stride, convolution.padding, convolution.dilation, convolution.groups)
        self.weights = Weights(
            weight.to(dtype, memory_format=torch.channels_last, copy=True), bias.to(dtype, copy=True), *geometry
        )
        self.kernels.clear()

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """``(B, C, H, W)`` to ``(B, O, H', W')``, and the input if it is shared.

        The residual, of the output's shape, is added before the ReLU.
        """
        assert self.weights is not None
        x = x.to(self.weights.weight.dtype, memory_format=torch.channels_last)
        place = x.shape[1:], crowd(len(x))
        if place not in self.kernels:
            self.kernels[place] = Guarded(self.weights, x.shape, self.passes)
        y: Tensor | tuple[Tensor, Tensor] = _Convolve.apply(x, residual, self.kernels[place], self)
        return y


def crowd(batch: int) -> int:
    """Batches for which oneDNN likes one order of the weights: it looks for enough work for every thread.

    Weights in the order of another batch are arranged anew in every pass, which takes longer than the convolution.
    """
    return min(batch, torch.get_num_threads()).bit_length()


class _Convolve(torch.autograd.Function):
    """Keeps its output where a ReLU needs it, and nothing else: no input and no weight is needed again."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, residual: Tensor | None, kernel: Guarded, layer: Convolution
    ) -> Tensor | tuple[Tensor, Tensor]:
        y = kernel.forward(x, residual, layer.relu)
        if y._is_view():  # as a matrix product's; autograd lets nobody change one in place, as many activations do
            y = y.data
        context.kernel, context.shape, context.joined, context.owns = kernel, x.shape, residual is not None, layer.owns
        if layer.relu:
            context.save_for_backward(y)
        return (y, x) if layer.shares else y

    @staticmethod
    @once_differentiable
    def backward(
        context: Any, gradient: Tensor, back: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        for y in context.saved_tensors:
            if context.owns:
                torch.ops.aten.threshold_backward.grad_input(gradient, y, 0, grad_input=gradient)
            else:
                gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        if back is not None:
            context.kernel.add_backward(back, gradient)
        elif context.needs_input_grad[0]:
            back = context.kernel.backward(gradient, context.shape)
        return back, gradient if context.joined else None, None, None
