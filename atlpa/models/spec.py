"""Which network: the ``model:`` section of an experiment."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field

from atlpa.component import Component
from atlpa.field_types import PathText
from atlpa.models.classifier import Classifier
from atlpa.models.denoise import Denoising
from atlpa.models.features import features_of
from atlpa.models.input_noise import InputNoise
from atlpa.models.networks import NETWORKS, NetworkName, build_backbone, size_of
from atlpa.models.normalization import IDENTITY, Normalization
from atlpa.models.random_resize import RandomResize
from atlpa.models.weights import load_weights
from atlpa.randomness import generator

StageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class ModelSpec(Component):
    """A network by name.

    Fields:
        architecture: one of torchvision's classifiers, ``resnet18_cifar`` or another of ``SMALL_IMAGE_RESNETS``,
            ``small_cnn``, ``timm:NAME``, or ``package.module:factory`` of your own, which is called with the number of
            classes. Default: the paper's.
        weights: ``imagenet``, ``none``, or a file (see ``load_weights``). Default: the paper's (§5.4.2).
        stages: stage → path of a layer, such as ``{early: blocks.3, late: blocks.11}``; by default what the network
            declares.
        normalization: ``mean`` and ``std`` of each channel, or ``none``; by default what the network was made for.
    """

    architecture: NetworkName = "resnet101"
    weights: PathText = "imagenet"
    stages: Annotated[dict[StageName, str], Field(min_length=1)] | None = None
    normalization: Normalization | Literal["none"] | None = None

    def build(
        self,
        classes: int,
        seed: int,
        denoise: Denoising | None = None,
        noise: InputNoise | None = None,
        randomize: RandomResize | None = None,
        size: int | None = None,
    ) -> Classifier:
        """A freshly initialized network, the same for the same seed; torch's global generator is left alone.

        Args:
            classes: C, the number of classes.
            seed: of the initialization.
            denoise: the operation of feature denoising blocks, if any.
            noise: a first layer of noise, if any.
            randomize: random resizing at inference, if any.
            size: H = W of the images, for networks that are made for one.

        Raises:
            UserError: the network cannot be built so, or has no layer that ``stages`` names.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(seed, "initialization").initial_seed())
            # The backbone is built first, so that its initial weights are those of the network without blocks.
            backbone = build_backbone(self.architecture, classes, size)
            return Classifier(
                backbone,
                IDENTITY if self.normalization == "none" else self.normalization,
                features_of(backbone, self.stages),
                denoise=denoise,
                noise=noise,
                randomize=randomize,
                side=next(iter(size_of(NETWORKS[self.architecture], size).values()), None),
            )

    def load_initial_weights(self, model: Classifier, size: int | None = None, *, whole: bool = False) -> list[str]:
        """Load ``weights`` into a network that ``build`` made for this size; returns remarks for the user.

        Args:
            model: the network.
            size: H = W of the images.
            whole: whether a head of another number of classes is refused, rather than replaced.
        """
        return load_weights(model, self.weights, self.architecture, size, whole=whole)
