"""ResNets for small images, as papers on CIFAR have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn


@dataclass(frozen=True)
class SmallImageResNet:
    """torchvision's ResNet whose first convolution is 3×3 at stride 1, with no pooling behind it.

    At 32×32 its stages see 32, 16, 8 and 4 places a side, where the usual one's see 8, 4, 2 and 1.
    """

    block: Literal["BasicBlock", "Bottleneck"]
    layers: tuple[int, int, int, int]

    def __call__(self, classes: int) -> nn.Module:
        """The network without weights."""
        from torchvision.models import resnet

        network: nn.Module = resnet.ResNet(getattr(resnet, self.block), list(self.layers), num_classes=classes)
        network.conv1 = first = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
        nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
        return network


SMALL_IMAGE_RESNETS = {
    "resnet18_cifar": SmallImageResNet("BasicBlock", (2, 2, 2, 2)),
    "resnet34_cifar": SmallImageResNet("BasicBlock", (3, 4, 6, 3)),
    "resnet50_cifar": SmallImageResNet("Bottleneck", (3, 4, 6, 3)),
}
"""Name → what makes it."""
