"""A network that takes images in [0, 1]: normalization inside, any backbone behind it, and its features by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from atlpa.model_state import RandomLayer
from atlpa.models.denoise import Denoising, add_denoising
from atlpa.models.features import Features, features_of, head_of
from atlpa.models.input_noise import InputNoise
from atlpa.models.normalization import Normalization, normalization_of
from atlpa.models.random_resize import RandomResize


class Classifier(nn.Module):
    """Images ``(B, 3, H, W)`` in [0, 1] to logits ``(B, C)``.

    Mean and standard deviation are part of the model, so that ε is always in pixels and nobody normalizes twice.
    ``backbone`` keeps its own parameter names: its state dict loads into and from torchvision's or timm's network.

    Args:
        backbone: normalized images to logits.
        normalization: before it; by default what the backbone was made for (``normalization_of``).
        features: its stages by name; by default what it declares (``features_of``).
        denoise: the operation of the denoising blocks after each stage; ``None`` for no blocks.
        noise: added to the images in every forward pass.
        randomize: random resizing and padding of the normalized images, in evaluation mode.
        side: H and W of the images, of a backbone that takes no others: it gets randomized images resized to them.

    Raises:
        UserError: denoising blocks of a network that declares no stages, or one without a map.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        normalization: Normalization | None = None,
        features: Features | None = None,
        *,
        denoise: Denoising | None = None,
        noise: InputNoise | None = None,
        randomize: RandomResize | None = None,
        side: int | None = None,
    ) -> None:
        super().__init__()
        self.normalization = normalization or normalization_of(backbone)
        self.register_buffer("mean", torch.tensor(self.normalization.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(self.normalization.std).view(1, 3, 1, 1))
        self.backbone = backbone
        self.features = features or features_of(backbone)
        self.denoise = add_denoising(backbone, self.features, denoise, side)
        self.noise = RandomLayer(noise, in_training=True) if noise else nn.Identity()
        self.randomize = RandomLayer(randomize, in_training=False) if randomize else nn.Identity()
        self.resize = nn.UpsamplingBilinear2d(side) if randomize and side else nn.Identity()

    @property
    def stage_layers(self) -> dict[str, str]:
        """Stage → path of its layer, as in ``named_modules()``; outputs are denoised where there are blocks."""
        return {name: f"backbone.{layer}" for name, layer in self.features.layers.items()}

    @property
    def head(self) -> str:
        """The path of the layer that gives the logits, as in ``backbone.named_modules()``."""
        return head_of(self.backbone)

    def forward(self, images: Tensor) -> Tensor:
        normalized = (self.noise(images) - self.mean) / self.std
        logits: Tensor = self.backbone(self.resize(self.randomize(normalized)))
        return logits
