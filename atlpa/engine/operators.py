"""Operators of torch that its documentation does not promise, looked up in this one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Missing(RuntimeError):
    """This version of torch does not have an operator; whoever asked goes on without it."""


def onednn(name: str) -> Callable[..., Any]:
    """One of oneDNN's operators, by the name that torch gives it.

    Raises:
        Missing: it is not there.
    """
    operator: Callable[..., Any] | None = getattr(torch.ops.mkldnn, name, None)
    if operator is None:
        raise Missing(f"torch {torch.__version__} has no operator mkldnn.{name}")
    return operator


def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16, so that it is faster than float32 there.

    With AVX-512 but without its bfloat16, oneDNN emulates it at two fifths of float32's speed; with AVX2 alone it
    refuses, and torch's own convolution takes ten times as long (docs/performance.md).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    try:
        taken = bool(onednn("_is_mkldnn_bf16_supported")())
    except Missing:
        return False
    known = torch.cpu.get_capabilities()
    emulated = known.get("avx512_f", False) and not (known.get("avx512_bf16", False) or known.get("amx_bf16", False))
    return bool(taken and not emulated)
