"""A network that takes images in [0, 1]: normalization inside, torchvision's ResNet behind it."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import ResNet

from atlpa.model_state import RandomLayer
from atlpa.models.denoise import Denoising, DenoisingBlock
from atlpa.models.input_noise import InputNoise
from atlpa.models.random_resize import RandomResize

STAGES: dict[str, str] = {"conv2_x": "layer1", "conv3_x": "layer2", "conv4_x": "layer3", "conv5_x": "layer4"}
"""The paper's names of a ResNet's four stages, and torchvision's."""

Architecture = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)

# The channel statistics that torchvision's pretrained weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Classifier(nn.Module):
    """Images ``(B, 3, H, W)`` in [0, 1] to logits ``(B, C)``.

    Mean and standard deviation are part of the model, so that ε is always in pixels and nobody normalizes twice.
    ``backbone`` keeps torchvision's parameter names: its state dict loads into and from ``torchvision.models``.

    Args:
        architecture: one of ``ARCHITECTURES``.
        classes: C, the number of classes.
        denoise: the operation of the denoising blocks after conv2_x … conv5_x; ``None`` for no blocks.
        noise: added to the images in every forward pass.
        randomize: random resizing and padding of the normalized images, in evaluation mode.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        architecture: str,
        classes: int,
        denoise: Denoising | None = None,
        noise: InputNoise | None = None,
        randomize: RandomResize | None = None,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"unknown architecture {architecture!r}; valid: {', '.join(ARCHITECTURES)}")
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        # The backbone is built first, so that its initial weights are those of the network without blocks.
        self.backbone: ResNet = torchvision.models.get_model(architecture, weights=None, num_classes=classes)

        blocks = {stage: DenoisingBlock(self.stage_width(stage), denoise) for stage in STAGES} if denoise else {}
        self.denoise = nn.ModuleDict(blocks)
        self.noise = RandomLayer(noise, in_training=True) if noise else nn.Identity()
        self.randomize = RandomLayer(randomize, in_training=False) if randomize else nn.Identity()

    def stage_width(self, stage: str) -> int:
        """The number of channels a stage puts out."""
        convolutions = [
            module for module in self.backbone.get_submodule(STAGES[stage]).modules() if isinstance(module, nn.Conv2d)
        ]
        return max(convolution.out_channels for convolution in convolutions)

    @property
    def stage_layers(self) -> dict[str, str]:
        """The paper's names of the stages → the submodules whose outputs they are, denoised where there are blocks."""
        return {s: f"denoise.{s}" if s in self.denoise else f"backbone.{layer}" for s, layer in STAGES.items()}

    def forward(self, images: Tensor) -> Tensor:
        net = self.backbone
        normalized = self.randomize((self.noise(images) - self.mean) / self.std)
        features = net.maxpool(net.relu(net.bn1(net.conv1(normalized))))
        for stage, layer in STAGES.items():
            features = net.get_submodule(layer)(features)
            if stage in self.denoise:
                features = self.denoise[stage](features)
        logits: Tensor = net.fc(net.avgpool(features).flatten(start_dim=1))
        return logits
