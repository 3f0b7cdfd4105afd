"""Convolutions of small maps as matrix products, which train several times as fast on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.utils import _pair
from torch.overrides import TorchFunctionMode

SMALL = 16
"""Places of an output map up to which a matrix product is faster: 4 × 4, which a ResNet has at 64×64 pixels."""

NARROW = 16
"""Channels from which on oneDNN's gradient of a strided 1×1 kernel stays within its memory: a block of AVX-512, two of
AVX2 (uxlfoundation/oneDNN#6035: with fewer it is wrong, or overwrites what is not its own)."""


class SmallMaps(TorchFunctionMode):
    """While it is active, convolutions of small maps on the CPU are matrix products; all others are torch's own.

    oneDNN's gradients of weights work through many channels of few places at a tenth of the rate of a matrix product.
    Values and gradients are those of the convolution up to rounding, second ones included, under autocast too. A
    strided 1×1 kernel of few channels gets the places that it reads alone, since oneDNN's own way is not safe.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.conv2d:
            return func(*args, **(kwargs or {}))
        given = _in_full(*args, **(kwargs or {}))
        images, weight, bias, stride, padding, *others = given
        if _suits(*given):
            if torch.is_autocast_enabled("cpu"):
                kind = torch.get_autocast_dtype("cpu")
                images, weight, bias = images.to(kind), weight.to(kind), bias if bias is None else bias.to(kind)
            result: Tensor = _Product.apply(images, weight, stride[0], padding[0])
            return result if bias is None else result + bias[:, None, None]
        if _is_unsafe(images, weight, stride, padding):
            images, stride = images[..., :: stride[0], :: stride[1]], 1
        return func(images, weight, bias, stride, padding, *others)


def _in_full(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Any, ...]:
    """The arguments of ``conv2d``, however they were given, in their order; of both directions where one was given."""
    padding = padding if isinstance(padding, str) else _both(padding)
    return input, weight, bias, _both(stride), padding, _both(dilation), groups


def _both(given: Any) -> tuple[int, ...]:
    """A number for each direction, where torch takes one for both, alone or in a list, too."""
    found: tuple[int, ...] = _pair(given)
    return 2 * found if len(found) == 1 else found


def _suits(images: Tensor, weight: Tensor, _: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> bool:
    """Whether it is a square kernel of more than one place without gaps or groups, and the map that it makes small."""
    side = weight.shape[-1]
    if images.device.type != "cpu" or images.ndim != 4 or side == 1 or weight.shape[-2] != side or groups != 1:
        return False
    plain = not isinstance(padding, str) and stride[0] == stride[1] and padding[0] == padding[1]
    return plain and dilation == (1, 1) and _output(images, side, stride[0], padding[0]).numel() <= SMALL


def _is_unsafe(images: Tensor, weight: Tensor, stride: Any, padding: Any) -> bool:
    """Whether it is a 1×1 kernel that skips places of few channels, without padding."""
    few = images.device.type == "cpu" and weight.shape[1] < NARROW
    return few and padding in ("valid", (0, 0)) and weight.shape[2:] == (1, 1) and max(stride) > 1


def _output(images: Tensor, side: int, stride: int, padding: int) -> torch.Size:
    return torch.Size((size + 2 * padding - side) // stride + 1 for size in images.shape[2:])


class _Product(torch.autograd.Function):
    """One row for each place of the output, of all that its kernel covers, times the kernel."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = stride, padding
        rows, columns = _output(images, weight.shape[-1], stride, padding)
        covered = _covered(images, weight.shape[-1], stride, padding)
        return (covered @ _matrix(weight).T).view(len(images), rows, columns, -1).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        images, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        outputs, inputs, side, _ = weight.shape
        places = gradient.permute(0, 2, 3, 1).reshape(-1, outputs)
        to_images = to_weight = None
        if ctx.needs_input_grad[0]:
            covered = (places @ _matrix(weight)).view(*gradient.shape[:1], *gradient.shape[2:], side, side, inputs)
            to_images = _put_back(covered, images.shape, stride, padding)
        if ctx.needs_input_grad[1]:
            product = places.T @ _covered(images, side, stride, padding)
            to_weight = product.view(outputs, side, side, inputs).permute(0, 3, 1, 2)
        return to_images, to_weight, None, None


def _matrix(weight: Tensor) -> Tensor:
    """A kernel ``(O, I, k, k)`` as ``(O, k·k·I)``."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _covered(images: Tensor, side: int, stride: int, padding: int) -> Tensor:
    """What the kernel covers at each place of the output, ``(B·H′·W′, k·k·I)``."""
    padded = F.pad(images, 4 * (padding,)).permute(0, 2, 3, 1)
    windows = padded.unfold(1, side, stride).unfold(2, side, stride)  # (B, H′, W′, I, k, k)
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side * images.shape[1])


def _put_back(covered: Tensor, shape: torch.Size, stride: int, padding: int) -> Tensor:
    """The sum over all places of the output, ``(B, H′, W′, k, k, I)``, at the places of the input that they cover."""
    count, inputs, height, width = shape
    _, rows, columns, side, _, _ = covered.shape
    padded = covered.new_zeros(count, height + 2 * padding, width + 2 * padding, inputs)
    for i in range(side):
        for j in range(side):
            padded[:, i : i + stride * rows : stride, j : j + stride * columns : stride] += covered[:, :, :, i, j]
    return padded[:, padding : padding + height, padding : padding + width].permute(0, 3, 1, 2)
