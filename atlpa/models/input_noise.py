"""Noise as a network's first layer (Araujo et al. 2019), drawn anew in every forward pass."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from atlpa.component import Component
from atlpa.field_types import PixelDistance
from atlpa.randomness import Generators, sample, uniform


class InputNoise(Component):
    """Adds independent noise to every pixel, in training and at inference. The sum is not clipped to [0, 1].

    Fields:
        distribution: ``gaussian`` or ``uniform``. Default: that of the source's group; neither was better here
            (docs/defenses.md).
        scale: the standard deviation of the Gaussian, or the bound of the uniform distribution on [−scale, scale], in
            units of the [0, 1] pixel range. Default: that of the source's group.
    """

    distribution: Literal["gaussian", "uniform"] = "gaussian"
    scale: Annotated[PixelDistance, Field(gt=0)] = 0.25

    def __call__(self, images: Tensor, generators: Generators = None) -> Tensor:
        """Noisy images ``(B, 3, H, W)``.

        Args:
            images: in [0, 1].
            generators: one for the batch, one for each image, or torch's global one.
        """
        if self.distribution == "gaussian":
            return images + self.scale * sample(images, torch.randn, generators)
        return images + uniform(images, self.scale, generators)
