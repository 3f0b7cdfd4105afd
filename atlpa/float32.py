"""Float32 that is float32: hardware and torch's settings may round it to fewer bits on the way into a product."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_backends: Any = torch.backends  # whose attributes torch declares only in part

# From the general to the particular: what says "none" follows the one above it. The parent of mkldnn's cannot be set.
_SETTINGS = (
    *(_backends, _backends.cudnn, _backends.cudnn.conv, _backends.cudnn.rnn, _backends.cuda.matmul),
    *(_backends.mkldnn.conv, _backends.mkldnn.rnn, _backends.mkldnn.matmul),
)


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Compute convolutions and matrix products of float32 in all of its 24 bits, as evaluation does and whoever judges.

    By default cuDNN's convolutions round their inputs to the 11 bits of TF32, and a user may allow TF32 or bfloat16 for
    more. Their settings are found again afterwards. May be used as a decorator. Autocast is not touched.
    """
    found = [setting.fp32_precision for setting in _SETTINGS]
    for setting in _SETTINGS:
        if setting.fp32_precision != "ieee":
            setting.fp32_precision = "ieee"
    # Where the older setting of the same says otherwise, torch takes the two for a mistake and raises.
    older = torch.get_float32_matmul_precision()
    try:
        if older != "highest":
            torch.set_float32_matmul_precision("highest")
        yield
    finally:
        if older != "highest":
            torch.set_float32_matmul_precision(older)
        for setting, precision in zip(_SETTINGS, found, strict=True):
            if setting.fp32_precision != precision:
                setting.fp32_precision = precision
