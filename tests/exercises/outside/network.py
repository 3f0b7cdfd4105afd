"""A network of one's own: small, without anything of ours, its stages said where they are."""

from torch import nn


def small(classes):
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes)),
    )
    network.stages = {"early": "2", "late": "4"}
    return network
