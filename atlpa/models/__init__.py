"""Residual networks that take images in [0, 1] and show their stages."""

from atlpa.models.classifier import ARCHITECTURES, Classifier
from atlpa.models.spec import ModelSpec
from atlpa.models.stages import STAGES, record_stages
from atlpa.models.weights import load_weights

__all__ = ["ARCHITECTURES", "STAGES", "Classifier", "ModelSpec", "load_weights", "record_stages"]
