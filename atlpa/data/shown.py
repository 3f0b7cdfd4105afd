"""Which images of a set a batch shows, as a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from atlpa.data.images import Images
from atlpa.randomness import generator


class Shown:
    """A set of images of which each batch shows some: every epoch is a fresh permutation, no image is dropped.

    Args:
        images: the set.
        rows: which rows of a batch are its.
        purpose: of the permutations, so that two sets have their own.
        seed: the experiment's.
    """

    def __init__(self, images: Images, rows: Sequence[int], purpose: str, seed: int) -> None:
        self.images, self.purpose, self.seed = images, purpose, seed
        self.places = {row: place for place, row in enumerate(rows)}

    def positions(self, step: int, rows: Sequence[int]) -> Tensor:
        """The positions in the set of what these rows of a step's batch show."""
        count = len(self.images)
        turns = [step * len(self.places) + self.places[row] for row in rows]
        order = {
            epoch: torch.randperm(count, generator=generator(self.seed, self.purpose, epoch))
            for epoch in {turn // count for turn in turns}
        }
        return torch.stack([order[turn // count][turn % count] for turn in turns])


def spread(count: int, batch_size: int) -> list[int]:
    """``count`` rows of a batch, as evenly as can be, so that each process and micro-batch has its part of them."""
    return [row for row in range(batch_size) if (row + 1) * count // batch_size > row * count // batch_size]
