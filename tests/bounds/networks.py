"""Small networks of every operation that has a bound, and of some that have none."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from atlpa.models import Classifier

CLASSES = 4


class Residual(nn.Module):
    """Two convolutions with BatchNorm between an identity and a sum, all as functions and in place."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, CLASSES)

    def forward(self, x):
        x = F.relu(self.norm(self.first(x)), inplace=True)
        out = self.second(x)
        out += x
        return self.head(torch.relu(out).mean([2, 3]))


class Joined(nn.Module):
    """Two branches side by side, one of them scaled, cut and turned by functions and methods."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(80, CLASSES)

    def forward(self, x):
        left = F.leaky_relu(0.5 - 2 * self.left(x), 0.2)
        right = self.right(x).permute(0, 2, 3, 1)[:, :, :, 1:].transpose(2, 3).transpose(2, 3).permute(0, 3, 1, 2)
        joined = torch.cat([left, F.avg_pool2d(F.pad(right, (1, 1, 1, 1)), 3, stride=1)], dim=1)
        joined = joined.view(x.size(0), 4, -1) / torch.tensor([1.0, -2.0, 0.5, 1.0]).view(4, 1)
        pooled = F.max_pool2d(joined.view(x.shape[0], 4, 4, 4), 2, stride=1, padding=1, ceil_mode=True)
        return self.head(F.relu6(pooled[:, :, :, :4].flatten(1)) - 0.1)


class Declared(nn.Module):
    """The same value read by a convolution and, overwritten in place, by a sum."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Linear(48, CLASSES)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        first = self.first(x)
        out = self.second(self.act(first))
        return self.head(torch.flatten(out + first, 1))


def smooth(layer):
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 6), layer, nn.Linear(6, 6), layer, nn.Linear(6, CLASSES))


MAKERS = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 7), nn.Linear(7, CLASSES)),
    "plain": lambda: nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 6, 2, groups=2), nn.LeakyReLU(0.1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Dropout(0.5), nn.Linear(6, CLASSES)),
    ),
    "deep": lambda: nn.Sequential(
        *(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU()),
        *(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Identity(), nn.Linear(8, CLASSES)),
    ),
    "classifier": lambda: Classifier(
        nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, CLASSES))
    ),
    "residual": Residual,
    "joined": Joined,
    "in place": Declared,
    "tanh": lambda: smooth(nn.Tanh()),
    "sigmoid": lambda: smooth(nn.Sigmoid()),
    "softplus": lambda: smooth(nn.Softplus()),
    "hardtanh": lambda: smooth(nn.Hardtanh(-0.3, 0.4)),
    "elu": lambda: smooth(nn.ELU()),
}


def network(name: str) -> nn.Module:
    """One of them in float32 and evaluation mode, with weights and statistics that are not the initial ones."""
    torch.manual_seed(0)
    made = MAKERS[name]()
    with torch.no_grad():
        for _ in range(20):
            made.train()(torch.rand(16, 3, 4, 4))
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()
