"""Decoded images: small sets at once and in memory, larger ones as they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from atlpa.data.dataset import Item

IN_MEMORY_LIMIT = 4 * 2**30  # bytes; Flowers-17 at 256×256 takes 0.27 GB


class Images(Protocol):
    """Labeled images at one resolution."""

    labels: Tensor
    """``(N,)`` class indices."""

    def __getitem__(self, positions: Tensor) -> Tensor:
        """The images at some positions, ``(B, 3, S, S)`` uint8."""

    def __len__(self) -> int: ...


class InMemory:
    """Images held as one uint8 tensor ``(N, 3, S, S)`` on any device."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels

    def __getitem__(self, positions: Tensor) -> Tensor:
        return self.pixels[positions.to(self.pixels.device)]

    def __len__(self) -> int:
        return len(self.labels)


class Streamed:
    """Images decoded anew each time, by as many threads as there are cores."""

    def __init__(self, items: Sequence[Item], side: int) -> None:
        self.items, self.side = items, side
        self.labels = torch.tensor([item.label for item in items])
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def __getitem__(self, positions: Tensor) -> Tensor:
        chosen = [self.items[position] for position in positions.tolist()]
        return torch.stack(list(self._pool.map(self._read, chosen)))

    def __len__(self) -> int:
        return len(self.labels)

    def all(self) -> Iterator[Tensor]:
        """Every image in order, one by one."""
        return self._pool.map(self._read, self.items)

    def _read(self, item: Item) -> Tensor:
        picture = item.open().resize((self.side, self.side), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def load_images(items: Sequence[Item], side: int, device: torch.device, title: str = "images") -> Images:
    """Make images ready for use, with a progress bar.

    Args:
        items: what to decode.
        side: S, the side in pixels that images are resized to (the aspect ratio is not kept).
        device: where a set that fits in memory is kept.
        title: shown beside the progress bar.
    """
    streamed = Streamed(items, side)
    if len(items) * 3 * side**2 > IN_MEMORY_LIMIT:
        return streamed
    pixels = torch.empty(len(items), 3, side, side, dtype=torch.uint8)
    for slot, picture in zip(pixels, tqdm(streamed.all(), title, len(items), leave=False, disable=None), strict=True):
        slot.copy_(picture)
    return InMemory(pixels.to(device), streamed.labels)


def evenly_spaced(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """At most ``limit`` items, spread evenly, so that data sorted by class still shows every class."""
    if limit is None or limit >= len(items):
        return items
    return [items[number * len(items) // limit] for number in range(limit)]
