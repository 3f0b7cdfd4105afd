"""A ResNet of narrow stages, soon trained, copied and loaded: for tests of what befalls runs, whatever they train."""

from torch import nn
from torchvision.models.resnet import BasicBlock

NARROW = "tests.narrow:narrow"


def narrow(classes):
    """Four stages of one block, 4 to 32 channels: 20 thousand parameters, where ResNet-18 has 11 million."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        BasicBlock(4, 4),
        *(_halving(4, 8), _halving(8, 16), _halving(16, 32)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes)),
    )
    network.stages = {"conv2_x": "3", "conv3_x": "4", "conv4_x": "5", "conv5_x": "6"}
    return network


def _halving(before, after):
    shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=2, bias=False), nn.BatchNorm2d(after))
    return BasicBlock(before, after, stride=2, downsample=shortcut)
