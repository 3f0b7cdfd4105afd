"""Whether a copy of a network pays, and which way suits each convolution: it depends on how much is about to pass."""

from __future__ import annotations

import torch

from atlpa.engine.kernels import Fused, Plain, Weights
from atlpa.engine.special import Dense, FewChannels, Sparse

HANDLED = (torch.float32, torch.bfloat16)

# How many images, or places of their maps, must pass a layer before arranging its weights anew has paid for itself; and
# how many pixels a network, before a copy of it has. Found with ResNet-18 and -50 at 32 to 128 pixels, on a processor
# with AVX-512 and with its instructions held to AVX2: below them the plain loop was the faster one.
WORTH_A_MATRIX = 100
WORTH_PACKING = 1000
WORTH_A_COPY = 300_000


def worth_a_copy(shape: torch.Size, passes: int) -> bool:
    """Whether so many passes of images ``(B, 3, H, W)`` are worth a copy, which reads and writes every weight."""
    images = passes * shape[0]
    return images >= WORTH_A_MATRIX or images * shape[2:].numel() >= WORTH_A_COPY


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
