"""The best rate the machine shows on large dense kernels: no network can be faster than its operations over this."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional as F

from atlpa.engine import supported_precision

ROUNDS = 15


def dense_rates(device: torch.device) -> dict[str, dict[str, float]]:
    """Operations per second, best of several: of a matrix product, and of 3×3 convolutions of typical shapes.

    In each precision that the device computes in; elsewhere bfloat16 is imitated, which takes minutes and says nothing.
    """
    matrix, batch = (8192, 64) if device.type == "cuda" else (2048, 16)
    rates = {}
    for name, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
        if supported_precision(name, device) != name:
            continue
        normal = partial(torch.randn, dtype=dtype, device=device)
        a, b = normal(matrix, matrix), normal(matrix, matrix)
        rates[name] = {"matrix product": _rate(2 * matrix**3, lambda a=a, b=b: a @ b)}
        for channels, side in ((128, 56), (256, 28), (512, 14)):
            x = normal(batch, channels, side, side).to(memory_format=torch.channels_last)
            w = normal(channels, channels, 3, 3).to(memory_format=torch.channels_last)
            operations = 2 * batch * channels * channels * 9 * side * side
            shape = f"3×3 convolution, {channels} channels, {side}×{side}"
            rates[name][shape] = _rate(operations, lambda x=x, w=w: F.conv2d(x, w, padding=1))
    return rates


@torch.no_grad()
def _rate(operations: int, kernel: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        kernel()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return operations / min(seconds)
