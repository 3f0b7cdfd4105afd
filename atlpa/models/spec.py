"""Which network: the ``model:`` section of an experiment."""

from __future__ import annotations

import torch

from atlpa.component import Component
from atlpa.models.classifier import Architecture, Classifier
from atlpa.models.denoise import Denoising
from atlpa.models.input_noise import InputNoise
from atlpa.models.random_resize import RandomResize
from atlpa.models.weights import load_weights
from atlpa.randomness import generator


class ModelSpec(Component):
    """A network by name.

    Fields:
        architecture: one of torchvision's residual networks.
        weights: ``imagenet``, ``none``, or a file (see ``load_weights``).
    """

    architecture: Architecture = "resnet101"
    weights: str = "imagenet"

    def build(
        self,
        classes: int,
        seed: int,
        denoise: Denoising | None = None,
        noise: InputNoise | None = None,
        randomize: RandomResize | None = None,
    ) -> Classifier:
        """A freshly initialized network, the same for the same seed; torch's global generator is left alone.

        Args:
            classes: C, the number of classes.
            seed: of the initialization.
            denoise: the operation of feature denoising blocks, if any.
            noise: a first layer of noise, if any.
            randomize: random resizing at inference, if any.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(seed, "initialization").initial_seed())
            return Classifier(self.architecture, classes, denoise, noise, randomize)

    def load_initial_weights(self, model: Classifier) -> list[str]:
        """Load ``weights`` into a network that ``build`` made; returns remarks for the user."""
        return load_weights(model, self.weights, self.architecture)
