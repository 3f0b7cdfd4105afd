"""Residual networks that take images in [0, 1] and show their stages."""

from atlpa.models.averaged import Averaged
from atlpa.models.classifier import ARCHITECTURES, STAGES, Architecture, Classifier
from atlpa.models.denoise import Denoising, DenoisingBlock
from atlpa.models.input_noise import InputNoise
from atlpa.models.random_resize import RandomResize
from atlpa.models.spec import ModelSpec
from atlpa.models.stages import record_stages
from atlpa.models.weights import load_weights

__all__ = [
    "ARCHITECTURES",
    "STAGES",
    "Architecture",
    "Averaged",
    "Classifier",
    "Denoising",
    "DenoisingBlock",
    "InputNoise",
    "ModelSpec",
    "RandomResize",
    "load_weights",
    "record_stages",
]
