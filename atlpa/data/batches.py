"""Training batches as a pure function of (seed, step): a resumed run sees exactly what an uninterrupted one sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from atlpa.data.augmentation import Augmentation, trivially_augmented
from atlpa.data.images import Images
from atlpa.data.masks import UNKNOWN
from atlpa.data.shown import Shown, spread
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
        augmentation: what else is done to the images.
        classes: C, which labels of mixed images need.
        extra: further images, and how many of each batch they are, see ``ExtraImages``.
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
        *,
        augmentation: Augmentation | None = None,
        classes: int | None = None,
        extra: tuple[Images, int] | None = None,
    ) -> None:
        self.batch_size, self.size, self.mirror = batch_size, size, mirror
        self.seed, self.device, self.rows = seed, device, rows or range(batch_size)
        self.augmentation = augmentation or Augmentation()
        if self.augmentation.mix and classes is None:
            raise ValueError("labels of mixed images are shares of the classes; give classes, their number")
        self.classes = classes
        further = spread(extra[1] if extra else 0, batch_size)
        own = [row for row in range(batch_size) if row not in further]
        self.sets = [Shown(images, own, "order", seed)]
        if extra:
            self.sets.append(Shown(extra[0], further, "extra order", seed))

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: images ``(B, 3, size, size)`` in [0, 1] and labels ``(B,)``.

        Where images are mixed, labels are the shares of the classes, ``(B, C)``.
        """
        mix = self.augmentation.mix
        # Each is mixed with the one before it, which may be another process's.
        before = [(self.rows.start - 1) % self.batch_size] if mix and len(self.rows) < self.batch_size else []
        rows = [*before, *self.rows]
        pixels = self._augment(self._gather(rows, step, [shown.images for shown in self.sets]), rows, step)
        images = pixels.float() / 255
        labels = self._gather(rows, step, [shown.images.labels for shown in self.sets])
        if mix:
            assert self.classes is not None
            images, labels = mix(images, labels, self.classes, generator(self.seed, "mix", step))
            images, labels = images[len(before) :], labels[len(before) :]
        return images, labels

    def masks_at(self, step: int, masks: Tensor) -> Tensor:
        """The key regions of a step's images, mirrored and cropped as they are: ``(B, size, size)`` uint8.

        Extra images have none: there all is unknown.

        Args:
            step: the step.
            masks: those of all images but the extra ones, ``(N, S, S)`` uint8, see ``load_masks``.

        Raises:
            ValueError: the images are changed in ways that a key region does not follow.
        """
        if self.augmentation.trivial_augment or self.augmentation.mix:
            raise ValueError("key regions do not follow TrivialAugment or mixed images; leave both out")
        none = torch.full((1, *masks.shape[1:]), UNKNOWN, dtype=torch.uint8)
        regions = [masks, *(none.expand(len(shown.images), -1, -1) for shown in self.sets[1:])]
        rows = list(self.rows)
        return self._augment(self._gather(rows, step, regions)[:, None], rows, step, masks=True)[:, 0]

    def from_step(self, step: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of steps ``step`` … ``end`` − 1, the next one made while the present one is used."""
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.at, step)
            for following in range(step + 1, end + 1):
                batch = coming.result()
                if following < end:
                    coming = ahead.submit(self.at, following)
                yield batch

    def _gather(self, rows: Sequence[int], step: int, tables: Sequence[Any]) -> Tensor:
        """What the tables of the sets hold of the images in some rows of a batch, on the device."""
        taken = [[place for place, row in enumerate(rows) if row in shown.places] for shown in self.sets]
        found: list[Tensor] = [
            table[shown.positions(step, [rows[place] for place in places])].to(self.device)
            for shown, table, places in zip(self.sets, tables, taken, strict=True)
            if places
        ]
        if len(found) == 1:
            return found[0]
        order = torch.tensor([place for places in taken for place in places]).argsort()
        return torch.cat(found)[order.to(self.device)]

    def _draws(self, purpose: str, rows: Sequence[int], step: int) -> list[torch.Generator]:
        return [generator(self.seed, purpose, step, row) for row in rows]

    def _augment(self, pixels: Tensor, rows: Sequence[int], step: int, *, masks: bool = False) -> Tensor:
        """Crop, mirror and change ``(n, C, S, S)``, rows of a batch, where it lies."""
        if crop := self.augmentation.resized_crop:
            pixels = crop(pixels, self.size, self._draws("resized crop", rows, step), masks=masks)
        pixels = self._shift_and_mirror(pixels, rows, step)
        if self.augmentation.trivial_augment:
            pixels = trivially_augmented(pixels, self._draws("trivial augment", rows, step))
        return pixels

    def _shift_and_mirror(self, pixels: Tensor, rows: Sequence[int], step: int) -> Tensor:
        """Row and column numbers of every image, in one indexing; an image that is cropped already has no room."""
        draw = generator(self.seed, "augmentation", step)
        room = pixels.shape[-1] - self.size
        corners = torch.randint(room + 1, (self.batch_size, 2), generator=draw)[rows]
        flips = torch.rand(self.batch_size, generator=draw)[rows] < 0.5
        across = torch.arange(self.size)
        down = corners[:, :1] + across
        columns = corners[:, 1:] + torch.where(self.mirror & flips[:, None], across.flip(0), across)
        image, down, columns = (
            numbers.to(pixels.device)
            for numbers in (torch.arange(len(pixels))[:, None, None], down[:, :, None], columns[:, None, :])
        )
        return pixels[image, :, down, columns].permute(0, 3, 1, 2).contiguous()
