"""What every attack with a ``precision`` has in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import torch

from atlpa.engine import Precision, precision_note, supported_precision


class WithPrecision:
    """An attack whose gradients or queries may be in half precision; it comes before ``Attack`` among the bases."""

    precision: Precision

    @property
    def exact(self) -> bool:
        """Whether what it sees of an image may judge it: in float32 it may."""
        return self.precision == "fp32"

    def on(self, device: torch.device) -> Self:
        """With the precision that the device has instructions for."""
        this: Any = self
        changed: Self = replace(this, precision=supported_precision(self.precision, device))
        return changed

    def device_notes(self, device: torch.device) -> list[str]:
        """A precision that the device does not have."""
        note = precision_note(self.precision, device)
        return [note] if note else []
