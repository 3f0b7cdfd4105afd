"""Which way suits a convolution: it depends on the layer and on how much is about to pass it."""

from __future__ import annotations

import torch

from atlpa.engine.kernels import Fused, Plain, Weights
from atlpa.engine.special import Dense, FewChannels, Sparse

HANDLED = (torch.float32, torch.bfloat16)

# How many images, or places of their maps, must pass a layer before arranging its weights anew has paid for itself.
WORTH_A_MATRIX = 100
WORTH_PACKING = 1000


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
