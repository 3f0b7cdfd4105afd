"""What every data set has in common: its section of an experiment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from atlpa.component import Component
from atlpa.data.augmentation import Augmentation, MaybeAugmentation
from atlpa.data.extra import ExtraImages
from atlpa.data.index import Index

Side = Annotated[int, Field(ge=8, le=4096)]


class Dataset(Component):
    """The ``data:`` section of an experiment.

    Images are resized to ``resize`` × ``resize`` (the aspect ratio is not kept, as in the paper's §5.2), mirrored at
    random and cropped at random to ``size`` × ``size`` for training; for judging they are resized straight to ``size``.

    Fields:
        name: which data set.
        resize: side in pixels before the random crop. Default: DELTA's 256 for 224, whose augmentation the paper
            reuses, and in like proportion where images are smaller.
        size: side in pixels of what the network sees. Default: what the paper's networks see; of small images 32.
        mirror: whether training mirrors images at random. Default: a mirrored flower is one, a mirrored digit is none.
        augmentation: what else training does to its images.
        extra: further images for training alone, and their share of each batch.
        skip_unreadable: whether images that cannot be decoded are left out and listed, instead of being an error.
    """

    name: str
    resize: Side = 256
    size: Side = 224
    mirror: bool = True
    augmentation: MaybeAugmentation = Augmentation()
    extra: ExtraImages | None = None
    skip_unreadable: bool = False

    @model_validator(mode="after")
    def _crop_must_fit(self) -> Dataset:
        if self.resize < self.size:
            raise ValueError(f"resize {self.resize} is smaller than size {self.size}; a crop cannot be larger")
        return self

    @abstractmethod
    def index(self) -> Index:
        """Find classes, images and parts; extra images are not looked for.

        Raises:
            UserError: something is missing or out of place; the message says what is expected.
        """

    def training_index(self) -> Index:
        """The same with the extra images, which training alone needs.

        Raises:
            UserError: as of ``index``, or of the extra images.
        """
        index = self.index()
        return index if self.extra is None else replace(index, extra=self.extra.items(index.classes))


def stratified_split(labels: Sequence[int], shares: Sequence[float], seed: int) -> list[list[int]]:
    """Split positions into groups that hold about the given shares of every class; the same for the same seed.

    Args:
        labels: class of each position.
        shares: the share of each group; they sum to 1. Every group but the last is rounded to the nearest image.
        seed: of the shuffle within each class.
    """
    groups: list[list[int]] = [[] for _ in shares]
    labels_array = np.asarray(labels)
    for label in sorted(set(labels)):
        members = np.random.default_rng([seed, label]).permutation(np.flatnonzero(labels_array == label))
        cuts = [*np.rint(np.cumsum([0, *shares[:-1]]) * len(members)).astype(int).tolist(), len(members)]
        for group, start, end in zip(groups, cuts[:-1], cuts[1:], strict=True):
            group.extend(int(position) for position in members[start:end])
    return [sorted(group) for group in groups]
