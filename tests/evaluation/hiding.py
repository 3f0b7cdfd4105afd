"""Small networks with a closed form, each of which hides one thing from attacks, and images for them."""

import torch
from torch import nn

N, SIDE, EPSILON = 60, 8, 0.1
WEAK, ROBUST = 26, 204  # 8-bit levels between two channels: what an attack of 0.1 can close, and what it cannot


def honest(images):
    """Three logits: the brighter of two channels decides between the first two classes."""
    gap = 20 * (images[:, 0] - images[:, 1]).mean(dim=(1, 2))
    return torch.stack([gap, -gap, -gap.abs() - 5], dim=1)


def off_grid(images):
    """How far the first two channels are from 8-bit levels, at most 1/2, ``(B,)``; without a gradient."""
    levels = 255 * images[:, :2].detach()
    return (levels - levels.round()).abs().mean(dim=(1, 2, 3))


def chosen(condition, some, others):
    """Row by row."""
    return torch.where(condition[:, None], some, others)


def against(images):
    """Logits of the other class than an honest network's, as large."""
    return honest(images)[:, [1, 0, 2]]


class Backward(torch.autograd.Function):
    """The identity; its gradient is changed by a function."""

    @staticmethod
    def forward(context, images, change):
        context.change = change
        return images.clone()

    @staticmethod
    def backward(context, gradient):
        return context.change(gradient), None


def cut(images):
    return honest(images.detach())


def reversed_gradient(images):
    return honest(Backward.apply(images, torch.neg))


def saturated(images):
    """The cross-entropy is 0, and so is its gradient."""
    return 1e4 * honest(images)


def sees_the_grid(images):
    """No gradient, and wrong wherever pixels are no 8-bit levels: anything but PGD finds that."""
    return chosen(off_grid(images) > 0.03, against(images), honest(images)).detach()


def mended_by_rounding(images):
    """Wrong wherever pixels are no 8-bit levels, and a gradient that leads there."""
    return (
        honest(images) + chosen(off_grid(images) > 0.03, against(images) - honest(images), 0 * honest(images)).detach()
    )


def stuck_at_the_grid(images):
    """A gradient wherever pixels are no 8-bit levels: a random start has one."""
    return chosen(off_grid(images) > 0.03, honest(images), cut(images))


def stuck_off_the_grid(images):
    """A gradient at the image alone: one large step goes farther than many small ones."""
    return chosen(off_grid(images) > 0.03, cut(images), honest(images))


def along_a_corridor(images):
    """Each pixel of a row has a gradient once the one before has gone nearly all its way: seven times eight steps."""
    way = images[:, 2, 0, :7] - 0.8
    released = torch.cat([torch.ones_like(way[:, :1]), (way[:, :-1] > 0.09).to(way)], dim=1)
    gap = 0.65 - (released.detach() * way).sum(dim=1)
    sign = honest(images)[:, 0].detach().sign()
    return torch.stack([sign * gap, -sign * gap, -gap.abs() - 5], dim=1)


def within_a_shell(images):
    """Wrong where the steps of an attack at ε or ε/2 halt, but not those at 2ε; for images with the robust gap."""
    gap = (images[:, 0] - images[:, 1]).detach().mean(dim=(1, 2)).abs()
    moved = (ROBUST / 255 - gap) / 2
    return chosen((moved / (EPSILON / 8) - 1).abs() < 0.1, against(images), honest(images))


def wrong_at_one_place(images):
    """No gradient, and a margin that does not move with the robust gap; wrong where one place alone differs from
    its column, as late squares of random search make it."""
    columns = images.detach()
    places = (columns != columns.median(dim=2, keepdim=True).values).any(dim=1).sum(dim=(1, 2))
    return chosen(places == 1, against(columns), honest(columns)).clamp(-8, 8)


class Mixed(nn.Module):
    """Treats images with a bright third channel in one way, the others honestly."""

    def __init__(self, treat):
        super().__init__()
        self.treat = treat

    def forward(self, images):
        return chosen(images[:, 2].mean(dim=(1, 2)) > 0.5, self.treat(images), honest(images))


class Cutter(nn.Module):
    """Cuts images with a bright third channel out of the graph."""

    def forward(self, images):
        return torch.where(images[:, 2:].mean(dim=(1, 2, 3), keepdim=True) > 0.5, images.detach(), images)


class Weighted(nn.Module):
    """The honest network, with a weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return self.weight * honest(images)


def pictures(marked, gap, others=ROBUST, n=N):
    """Images and labels: so many marked ones with one gap, the others with another; 8-bit levels, classes in turn."""
    numbers = torch.arange(n)
    half = torch.where(numbers < marked, gap, others) // 2 * torch.where(numbers % 2 == 0, 1, -1)
    levels = torch.stack([128 + half, 128 - half, torch.where(numbers < marked, 204, 51)], dim=1)
    return (levels[:, :, None, None] / 255).expand(n, 3, SIDE, SIDE).clone(), numbers % 2


def noisy(images):
    return honest(images) + 0.01 * torch.randn(len(images), 3)


def veiled(images):
    """A gradient that is mostly noise, a new one each time."""
    return noisy(Backward.apply(images, lambda gradient: gradient + 6 * gradient.abs() * torch.randn_like(gradient)))


def overwhelmed(images):
    return honest(images) + 100 * torch.randn(len(images), 3)


def wants_negative_pixels(images):
    return chosen(images.amin(dim=(1, 2, 3)) >= 0, against(images), honest(images))


def less_the_batch(share):
    """A network that subtracts a multiple of what the batch has in common."""
    return lambda images: honest(images - share * images.mean(dim=0, keepdim=True))


def mislabeled(count, images):
    """The same images with so many wrong labels, the last ones."""
    pixels, labels = images
    return pixels, torch.where(torch.arange(len(labels)) < len(labels) - count, labels, 1 - labels)
