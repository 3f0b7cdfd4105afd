"""What the Square attack proposes in L2 (Andriushchenko et al. 2020): length that is moved from window to window."""

from __future__ import annotations

import torch
from torch import Tensor

from atlpa.attacks.norms import L2Ball
from atlpa.attacks.windows import Windows

TILES = 5
"""Along each side of the start."""
SMALLEST = 3
"""Pixels along the smallest window."""
_TINY = 1e-12


def odd(side: Tensor, images: Tensor) -> Tensor:
    """Sides ``(B,)`` as the windows here have them: odd, and no smaller than three pixels."""
    side = side.clamp(min=SMALLEST)
    return (side + (side % 2 == 0)).clamp(max=min(images.shape[2:]))


def pyramids(windows: Windows, turned: Tensor) -> Tensor:
    """η of the source in each window, ``(B, 1, H, W)`` of length 1 and 0 elsewhere.

    One half is a pyramid that rises to its middle, the other one that falls; a pixel in the k-th ring around the middle
    has Σ 1/i² from i = k on, to the ring of the window's edge.

    Args:
        windows: of each image.
        turned: ``(B,)`` bool, whether the halves lie side by side.
    """
    down, across = windows.down[:, :, None], windows.across[:, None, :]
    swap, side = turned[:, None, None], windows.side[:, None, None]
    row, column = torch.where(swap, across, down), torch.where(swap, down, across)
    half = (side / 2).floor()
    upper = row < half
    height, row = torch.where(upper, half, side - half), torch.where(upper, row, row - half)
    ring = torch.maximum((row - (height / 2).floor()).abs(), (column - half).abs())
    last = max(row.shape[1:])
    rings = torch.arange(1, last + 1, device=row.device).to(row)
    sums = torch.cat([rings.new_zeros(1), (1 / rings**2).cumsum(0)])
    value = sums[(half + 1).long()] - sums[ring.clamp(0, last).long()]
    parts = [value * (which & windows.inside[:, 0]) for which in (upper, ~upper)]
    above, below = (part / part.square().sum(dim=(1, 2), keepdim=True).sqrt().clamp(min=_TINY) for part in parts)
    both = (above - below)[:, None]
    return both / both.square().sum(dim=(2, 3), keepdim=True).sqrt().clamp(min=_TINY)


def tiled(images: Tensor, drawn: Tensor, epsilon: float) -> Tensor:
    """The start: a change of length ε, of 5 × 5 tiles of pyramids (a row more or less where 5 does not divide).

    Args:
        images: ``(B, 3, H, W)``.
        drawn: ``(B, numbers_of_start)``, in [0, 1).
        epsilon: ε.
    """
    channels, rows, columns = images.shape[1:]
    side, down, across = _tiles(images)
    one = Windows.at(drawn.new_zeros(2, 2), drawn.new_full((2,), side), images[:1, :, :side, :side])
    straight, turned = pyramids(one, torch.tensor([False, True], device=drawn.device))[:, 0].repeat(1, down, across)
    choices = drawn.view(-1, channels + 1, down, across)
    choices = choices.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3) < 0.5
    made = torch.where(choices[:, :1], straight, turned) * torch.where(choices[:, 1:], 1.0, -1.0)
    above, left = (rows - down * side) // 2, (columns - across * side) // 2
    change = torch.zeros_like(images)
    change[:, :, above : above + down * side, left : left + across * side] = made.to(images)
    return epsilon * L2Ball.ascent(change)


def numbers_of_start(images: Tensor) -> int:
    """How many numbers ``tiled`` needs for each image."""
    _, down, across = _tiles(images)
    return (images.shape[1] + 1) * down * across


def moved(change: Tensor, first: Windows, second: Windows, signs: Tensor, turned: Tensor, epsilon: float) -> Tensor:
    """A change of length ε whose second window is emptied into the first.

    There, in each channel, the old change and pyramids of a random sign share what length both windows had, and what
    [0, 1] had taken from ε.

    Args:
        change: ``(B, 3, H, W)``, the best so far.
        first: windows.
        second: windows of the same sides.
        signs: ``(B, 3, 1, 1)``, 1 or −1.
        turned: ``(B,)`` bool, of the pyramids.
        epsilon: ε.
    """
    inside, emptied = first.inside, second.inside

    def squares(part: Tensor) -> Tensor:
        return part.square().sum(dim=(2, 3), keepdim=True)

    spare = (epsilon**2 - squares(change).sum(dim=1, keepdim=True)).clamp(min=0) / change.shape[1]
    old = change * inside
    fresh = signs * pyramids(first, turned).to(change) + old / squares(old).sqrt().clamp(min=_TINY)
    length = (spare + squares(change * (inside | emptied))).sqrt()
    fresh = fresh * (length / squares(fresh).sqrt().clamp(min=_TINY))
    return epsilon * L2Ball.ascent(torch.where(inside, fresh, torch.where(emptied, 0, change)))


def _tiles(images: Tensor) -> tuple[int, int, int]:
    """Their side, and how many there are down and across."""
    rows, columns = images.shape[2:]
    side = max(1, min(rows, columns) // TILES)
    return side, rows // side, columns // side
