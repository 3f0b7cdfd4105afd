"""A network that is small enough for certified bounds to say something."""

from __future__ import annotations

from torch import nn


def small_cnn(classes: int, image_size: int = 32) -> nn.Module:
    """Two convolutions 4×4 of stride 2 with 16 and 32 channels and a layer of 100, all with ReLUs and no BatchNorm.

    It is the smallest network that Wong & Kolter (2018) certify images of.

    Args:
        classes: C.
        image_size: H = W of the images, at least 4.
    """
    side = image_size // 2 // 2
    network = nn.Sequential(
        *(nn.Conv2d(3, 16, 4, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * side * side, 100), nn.ReLU()),
        nn.Linear(100, classes),
    )
    network.stages = {"conv1": "1", "conv2": "3"}  # type: ignore[assignment]
    return network
