"""Training batches as a pure function of (seed, step): a resumed run sees exactly what an uninterrupted one sees."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from atlpa.data.images import Images
from atlpa.randomness import generator


class Batches:
    """Random batches: each epoch is a fresh permutation, a batch may span two epochs, no image is dropped.

    Several processes share each batch, a part to each; what it holds and how it is changed does not depend on them.

    Args:
        images: the training images.
        batch_size: B.
        size: side of the random crop; the images are at least as large.
        mirror: whether half of the images, at random, are mirrored.
        seed: the experiment's.
        device: where batches are needed.
        rows: this process's part of each batch; by default all of it.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        size: int,
        mirror: bool,
        seed: int,
        device: torch.device,
        rows: range | None = None,
    ) -> None:
        self.images, self.batch_size, self.size, self.mirror = images, batch_size, size, mirror
        self.seed, self.device, self.rows = seed, device, rows or range(batch_size)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: images ``(B, 3, size, size)`` in [0, 1] and labels ``(B,)``."""
        positions = self._positions(step)
        pixels = self._augment(self.images[positions].to(self.device), step)
        return pixels.float() / 255, self.images.labels[positions].to(self.device)

    def masks_at(self, step: int, masks: Tensor) -> Tensor:
        """The key regions of a step's images, mirrored and cropped as they are: ``(B, size, size)`` uint8.

        Args:
            step: the step.
            masks: those of all images, ``(N, S, S)`` uint8, see ``load_masks``.
        """
        chosen = masks[self._positions(step)].to(self.device)
        return self._augment(chosen[:, None], step)[:, 0]

    def from_step(self, step: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of steps ``step`` … ``end`` − 1, the next one made while the present one is used."""
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.at, step)
            for following in range(step + 1, end + 1):
                batch = coming.result()
                if following < end:
                    coming = ahead.submit(self.at, following)
                yield batch

    def _positions(self, step: int) -> Tensor:
        first = step * self.batch_size
        places = range(first + self.rows.start, first + self.rows.stop)
        epochs = {place // len(self.images) for place in places}
        order = {
            epoch: torch.randperm(len(self.images), generator=generator(self.seed, "order", epoch)) for epoch in epochs
        }
        return torch.stack([order[place // len(self.images)][place % len(self.images)] for place in places])

    def _augment(self, pixels: Tensor, step: int) -> Tensor:
        """Mirror and crop ``(B, C, S, S)`` where it lies: row and column numbers of every image, in one indexing."""
        draw = generator(self.seed, "augmentation", step)
        room = pixels.shape[-1] - self.size
        own = slice(self.rows.start, self.rows.stop)
        corners = torch.randint(room + 1, (self.batch_size, 2), generator=draw)[own]
        flips = torch.rand(self.batch_size, generator=draw)[own] < 0.5
        across = torch.arange(self.size)
        rows = corners[:, :1] + across
        columns = corners[:, 1:] + torch.where(self.mirror & flips[:, None], across.flip(0), across)
        image, rows, columns = (
            numbers.to(pixels.device)
            for numbers in (torch.arange(len(pixels))[:, None, None], rows[:, :, None], columns[:, None, :])
        )
        return pixels[image, :, rows, columns].permute(0, 3, 1, 2).contiguous()
