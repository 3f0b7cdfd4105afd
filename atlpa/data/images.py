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

from atlpa.data import cache
from atlpa.data.index import Index, Item
from atlpa.data.masks import UNKNOWN
from atlpa.errors import UserError, one_line
from atlpa.progress import Progress

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
        return self.pixels[positions.to(self.pixels.device, non_blocking=True)]

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

    def fingerprints(self) -> Iterator[bytes]:
        """Of every item, in order."""
        return self._pool.map(Item.fingerprint, self.items)

    def _read(self, item: Item) -> Tensor:
        picture = item.open().resize((self.side, self.side), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def load_images(items: Sequence[Item], side: int, device: torch.device, title: str = "images") -> Images:
    """Make images ready for use. A set that fits in memory is decoded once and for all, with a progress bar.

    Args:
        items: what to decode.
        side: S, the side in pixels that images are resized to (the aspect ratio is not kept).
        device: where a set that fits in memory is kept; on the CPU it stays a mapped file.
        title: shown beside the progress bar.
    """
    streamed = Streamed(items, side)
    if len(items) * 3 * side**2 > IN_MEMORY_LIMIT:
        return streamed
    before = [item.stamp for item in items]
    kept = cache.path(Progress(f"{title}, hash", len(items), "image").over(streamed.fingerprints()), side)
    pixels = cache.read(kept, len(items), side)
    if pixels is None:
        decoded = Progress(title, len(items), "image").over(streamed.all())
        pixels = cache.fill(kept, len(items), side, _unchanged(decoded, items, before))
    return InMemory(pixels.to(device), streamed.labels)


def _unchanged(decoded: Iterator[Tensor], items: Sequence[Item], before: Sequence[object]) -> Iterator[Tensor]:
    """The same pictures, unless a file changed since its content named the cache."""
    for picture, item, stamp in zip(decoded, items, before, strict=True):
        if item.stamp != stamp:
            raise UserError(f"{item.content} has changed while it was read; repeat the command")
        yield picture


def load_masks(items: Sequence[Item], side: int) -> Tensor:
    """Key regions as the images of ``load_images`` show them: ``(N, S, S)`` uint8, see ``atlpa.data.masks``.

    An image without a mask is unknown everywhere.
    """

    def mask(item: Item) -> Tensor:
        if item.mask is None:
            return torch.full((side, side), UNKNOWN, dtype=torch.uint8)
        values = Image.fromarray(item.mask(item.open().size)).resize((side, side), Image.Resampling.NEAREST)
        return torch.from_numpy(np.array(values))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return torch.stack(list(pool.map(mask, items)))


def unreadable(index: Index) -> dict[str, str]:
    """The images that cannot be decoded: name → what is wrong. Every image is decoded, with a progress bar."""

    def problem(item: Item) -> str | None:
        try:
            item.open()
        except UserError as error:
            return one_line(str(error))  # a path in it may be no text
        return None

    items = [item for part in (*index.parts.values(), index.extra) for item in part]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = Progress("reading", len(items), "image").over(pool.map(problem, items))
        return {item.name: found for item, found in zip(items, problems, strict=True) if found}


def evenly_spaced(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """At most ``limit`` items, spread evenly, so that data sorted by class still shows every class."""
    if limit is None or limit >= len(items):
        return items
    return [items[number * len(items) // limit] for number in range(limit)]
