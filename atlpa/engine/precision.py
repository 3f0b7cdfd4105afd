"""In how many bits convolutions and matrix products are computed, and what a machine makes of the wish."""

from __future__ import annotations

import logging
from typing import Literal

import torch
from torch import Tensor

from atlpa.engine.operators import bfloat16_is_fast

Precision = Literal["fp32", "bf16"]

logger = logging.getLogger("atlpa.engine")


def supported_precision(precision: Precision, device: torch.device) -> Precision:
    """What a device computes in: ``fp32`` in place of ``bf16`` where it must emulate that, which is slower."""
    return "bf16" if precision == "bf16" and bfloat16_is_fast(device) else "fp32"


def precision_note(precision: Precision, device: torch.device) -> str | None:
    """What to tell a user whose wish is not followed."""
    if supported_precision(precision, device) == precision:
        return None
    return f"this {device.type} has no instructions for bfloat16; bf16 is computed in float32, which is faster here"


def at_least_float32(tensor: Tensor) -> Tensor:
    """A tensor of fewer bits in float32; what is finer stays."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
