"""A network that takes images in [0, 1]: normalization inside, torchvision's ResNet behind it."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torchvision
from torch import Tensor, nn

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
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: str, classes: int) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"unknown architecture {architecture!r}; valid: {', '.join(ARCHITECTURES)}")
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.backbone: nn.Module = torchvision.models.get_model(architecture, weights=None, num_classes=classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.backbone((images - self.mean) / self.std)
        return logits
