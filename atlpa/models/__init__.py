"""Networks that take images in [0, 1] and show their stages: by name, built in or anybody's."""

from atlpa.models.averaged import Averaged
from atlpa.models.classifier import Classifier
from atlpa.models.denoise import Denoising, DenoisingBlock
from atlpa.models.features import RESNET_STAGES, Features, features_of, head_of
from atlpa.models.input_noise import InputNoise
from atlpa.models.joint import Joint
from atlpa.models.layouts import normalization_in
from atlpa.models.networks import NETWORKS, NetworkName, build_backbone, expression_of, slug
from atlpa.models.normalization import IMAGENET, Normalization
from atlpa.models.outputs import record_outputs
from atlpa.models.random_resize import RandomResize
from atlpa.models.spec import ModelSpec
from atlpa.models.stages import record_stages, stage_layers
from atlpa.models.weights import load_weights, weights_file

__all__ = [
    "IMAGENET",
    "NETWORKS",
    "RESNET_STAGES",
    "Averaged",
    "Classifier",
    "Denoising",
    "DenoisingBlock",
    "Features",
    "InputNoise",
    "Joint",
    "ModelSpec",
    "NetworkName",
    "Normalization",
    "RandomResize",
    "build_backbone",
    "expression_of",
    "features_of",
    "head_of",
    "load_weights",
    "normalization_in",
    "record_outputs",
    "record_stages",
    "slug",
    "stage_layers",
    "weights_file",
]
