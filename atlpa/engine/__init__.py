"""Networks made ready for many input gradients: folded, fused and frozen copies that nobody has to ask for."""

from atlpa.engine.frozen import Frozen
from atlpa.engine.precision import Precision, at_least_float32, precision_note, supported_precision
from atlpa.engine.prepare import Engine, prepare

__all__ = ["Engine", "Frozen", "Precision", "at_least_float32", "precision_note", "prepare", "supported_precision"]
