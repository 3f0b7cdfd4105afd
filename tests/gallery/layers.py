"""What hides a gradient, as layers: each in a few lines, after the published defense that it stands for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atlpa.model_state import RandomLayer
from atlpa.randomness import Generators, sample


class KWinners(nn.Module):
    """Of each image's activations the largest few, the others 0 (Xiao et al. 2020)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, activations: Tensor) -> Tensor:
        flat = activations.flatten(1)
        least = flat.topk(max(1, round(self.share * flat.shape[1])), dim=1).values[:, -1:]
        return (flat * (flat >= least)).view_as(activations)


class MeanBand(nn.Module):
    """Activations within t deviations of their channel's mean become the mean (MeanSparse, Amini et al. 2024)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, activations: Tensor, width: float) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("mean", activations.mean(dim=(0, 2, 3))[:, None, None])
        self.register_buffer("deviation", activations.std(dim=(0, 2, 3))[:, None, None])

    def forward(self, activations: Tensor) -> Tensor:
        near = (activations - self.mean).abs() < self.width * self.deviation
        return torch.where(near, self.mean, activations)


class Rounded(nn.Module):
    """Everything on a grid of so many levels a unit."""

    def __init__(self, levels: float) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, values: Tensor) -> Tensor:
        return (self.levels * values).round() / self.levels


class Thermometer(nn.Module):
    """Each pixel as so many thresholds that it exceeds or not (Buckman et al. 2018)."""

    thresholds: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.register_buffer("thresholds", (torch.arange(levels) + 0.5)[:, None, None] / levels)

    def forward(self, images: Tensor) -> Tensor:
        return (images[:, :, None] > self.thresholds).float().flatten(1, 2)


class Ramps(Thermometer):
    """The same codes with a slope: a ramp of one level's width instead of a step."""

    def forward(self, images: Tensor) -> Tensor:
        return (len(self.thresholds) * (images[:, :, None] - self.thresholds) + 0.5).clamp(0, 1).flatten(1, 2)


class Blocks(nn.Module):
    """What JPEG does: the cosine transform of each 8×8 block, rounded to a step; no gradient."""

    def __init__(self, step: float) -> None:
        super().__init__()
        place, wave = torch.arange(8)[None, :], torch.arange(8)[:, None]
        basis = torch.cos(torch.pi * (2 * place + 1) * wave / 16) / 2
        basis[0] /= 2**0.5
        self.step, self.basis = step, basis

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        batch, channels, rows, columns = images.shape
        blocks = images.view(batch, channels, rows // 8, 8, columns // 8, 8).transpose(3, 4)
        waves = self.basis @ blocks @ self.basis.T
        waves = (waves / self.step).round() * self.step
        return (self.basis.T @ waves @ self.basis).transpose(3, 4).reshape(images.shape).clamp(0, 1)


class _Changed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, how: Any) -> Tensor:
        context.how = how
        return values.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return context.how(gradient), None


class Misleading(nn.Module):
    """The identity, whose backward pass adds much the same noise to every gradient."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def _mislead(self, gradient: Tensor) -> Tensor:
        noise = torch.randn(gradient.shape[1:], generator=torch.Generator().manual_seed(0))
        size = gradient.flatten(1).abs().mean(dim=1).view(-1, *[1] * (gradient.ndim - 1))
        return gradient + self.noise * size * noise

    def forward(self, values: Tensor) -> Tensor:
        changed: Tensor = _Changed.apply(values, self._mislead)
        return changed


class Sawtooth(nn.Module):
    """Falls everywhere but for jumps, and rises on the whole: x − 2·(x mod period)."""

    def __init__(self, period: float) -> None:
        super().__init__()
        self.period = period

    def forward(self, values: Tensor) -> Tensor:
        return values - 2 * (values % self.period)


class Ripples(nn.Module):
    """A tiny wave whose slope is many times that of what it lies on."""

    def __init__(self, period: float, slope: float = 5) -> None:
        super().__init__()
        self.frequency, self.slope = 2 * torch.pi / period, slope

    def forward(self, values: Tensor) -> Tensor:
        return values + self.slope / self.frequency * torch.sin(self.frequency * values)


class TopFeatures(nn.Module):
    """The largest few features of each image, by their places."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, features: Tensor) -> Tensor:
        chosen = features.topk(self.count, dim=1).indices
        return features * torch.zeros_like(features).scatter(1, chosen, 1.0).detach()


class ReverseSigmoid(nn.Module):
    """Probabilities less a multiple of a sigmoid of themselves, which makes their slope small (Lee et al. 2018)."""

    def __init__(self, strength: float, sharpness: float) -> None:
        super().__init__()
        self.strength, self.sharpness = strength, sharpness

    def forward(self, logits: Tensor) -> Tensor:
        shares = logits.softmax(dim=1).clamp(1e-7, 1 - 1e-7)
        bent = torch.sigmoid(self.sharpness * (shares / (1 - shares)).log()) - 0.5
        mixed = (shares - self.strength * bent).clamp(min=0)
        return mixed / mixed.sum(dim=1, keepdim=True).clamp(min=1e-7)


class Voting(nn.Module):
    """How many members vote for each class."""

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        found = [member(images) for member in self.members]
        votes = [F.one_hot(logits.argmax(dim=1), logits.shape[1]) for logits in found]
        return torch.stack(votes).sum(dim=0).float()


class Mean(nn.Module):
    """The mean of several networks' logits."""

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([member(images) for member in self.members]).mean(dim=0)


class Scaled(nn.Module):
    """A multiple."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return self.factor * values


def pruned(share: float) -> RandomLayer:
    """Keeps small activations seldom, and makes up for it (stochastic activation pruning, Dhillon et al. 2018)."""

    def draw(activations: Tensor, generators: Generators) -> Tensor:
        size = activations.abs().flatten(1)
        often = 1 - (1 - size / size.sum(dim=1, keepdim=True).clamp(min=1e-12)) ** (share * size.shape[1])
        often = often.view_as(activations)
        return activations * (sample(activations, torch.rand, generators) < often) / often.clamp(min=1e-3)

    return RandomLayer(draw, in_training=False)


def noise(deviation: float) -> RandomLayer:
    """Gaussian noise."""
    return RandomLayer(lambda values, gens: values + deviation * sample(values, torch.randn, gens), in_training=False)
