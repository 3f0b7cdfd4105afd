"""No attack dies of its own speed-up: what raises, on whatever processor, shape or version of torch, gives way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from atlpa.engine.choice import kernel_for
from atlpa.engine.kernels import Plain, Weights
from atlpa.errors import reason

logger = logging.getLogger("atlpa.engine")

Result = TypeVar("Result")


class Guarded:
    """The kernel that suits a layer, and torch's own from the moment that one raises.

    Args:
        weights: of the convolution.
        shape: of its inputs, ``(B, C, H, W)``.
        passes: as ``kernel_for`` has it.
    """

    def __init__(self, weights: Weights, shape: torch.Size, passes: int) -> None:
        self.kernel = self.plain = Plain(weights)
        try:
            self.kernel = kernel_for(weights, shape, passes)
        except Exception as error:  # which class oneDNN raises is nowhere promised
            warn_once("the preparation of a convolution", reason(error))

    def forward(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        """relu(conv(x) + bias + residual)."""
        return self._run(lambda kernel: kernel.forward(x, residual, relu))

    def backward(self, gradient: Tensor, shape: torch.Size) -> Tensor:
        """The gradient at the output to that at the input, of this shape."""
        return self._run(lambda kernel: kernel.backward(gradient, shape))

    def add_backward(self, onto: Tensor, gradient: Tensor) -> None:
        """Add that gradient to one from elsewhere; a kernel that raises has added nothing yet."""
        self._run(lambda kernel: kernel.add_backward(onto, gradient))

    def _run(self, work: Callable[[Plain], Result]) -> Result:
        if self.kernel is not self.plain:
            try:
                return work(self.kernel)
            except Exception as error:
                warn_once(f"a convolution ({type(self.kernel).__name__})", reason(error))
                self.kernel = self.plain
        return work(self.plain)


@cache
def warn_once(what: str, why: str) -> None:
    """Tell that something fast gave way."""
    logger.warning("%s gives way to torch's own: %s", what, why)
