"""What computes faster: frozen copies for many input gradients, and small maps in training."""

from atlpa.engine.frozen import Frozen
from atlpa.engine.precision import Precision, at_least_float32, precision_note, supported_precision
from atlpa.engine.prepare import Engine, prepare
from atlpa.engine.small_maps import SmallMaps

__all__ = [
    "Engine",
    "Frozen",
    "Precision",
    "SmallMaps",
    "at_least_float32",
    "precision_note",
    "prepare",
    "supported_precision",
]
