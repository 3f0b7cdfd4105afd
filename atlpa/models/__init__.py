"""Residual networks that take images in [0, 1] and show their stages."""

from atlpa.models.classifier import ARCHITECTURES, STAGES, Classifier
from atlpa.models.denoise import Denoising, DenoisingBlock
from atlpa.models.spec import ModelSpec
from atlpa.models.stages import record_stages
from atlpa.models.weights import load_weights

__all__ = [
    "ARCHITECTURES",
    "STAGES",
    "Classifier",
    "Denoising",
    "DenoisingBlock",
    "ModelSpec",
    "load_weights",
    "record_stages",
]
