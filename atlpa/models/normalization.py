"""The first thing that every network does to an image."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from atlpa.component import Component
from atlpa.field_types import FromList, Number

Positive = Annotated[Number, Field(ge=1e-6)]  # as float32 can divide by
Finite = Annotated[Number, Field(allow_inf_nan=False)]


class Normalization(Component, kw_only=False):
    """(image − mean) / std, for each channel: of red, green and blue, in the [0, 1] range of pixels.

    Fields:
        mean: subtracted.
        std: divided by.
    """

    mean: Annotated[tuple[Finite, Finite, Finite], FromList]
    std: Annotated[tuple[Positive, Positive, Positive], FromList]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""The channel statistics that torchvision's pretrained weights expect."""

IDENTITY = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Leaves the images as they are."""


def normalization_of(backbone: nn.Module) -> Normalization:
    """What a network was made for: of timm's networks their own configuration, of others ImageNet's."""
    own = getattr(backbone, "pretrained_cfg", None)
    return Normalization(tuple(own["mean"]), tuple(own["std"])) if own else IMAGENET
