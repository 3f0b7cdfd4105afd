"""What a data set is: classes, and labeled images in three parts."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field, model_validator

from atlpa.component import Component
from atlpa.errors import UserError

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

Side = Annotated[int, Field(ge=8, le=4096)]


@dataclass(frozen=True)
class Item:
    """One labeled image, not yet decoded."""

    name: str
    label: int
    open: Callable[[], Image.Image]


@dataclass(frozen=True)
class Index:
    """Everything a data set holds, before any image is decoded."""

    classes: tuple[str, ...]
    parts: Mapping[Part, Sequence[Item]]

    def items(self, *parts: Part) -> list[Item]:
        """The images of some parts, in the order of the data set.

        Raises:
            UserError: a part is empty.
        """
        for part in parts:
            if not self.parts[part]:
                raise UserError(f"the {part} part holds no images; a 60/20/20 split needs at least 3 images a class")
        return [item for part in parts for item in self.parts[part]]

    @property
    def digest(self) -> str:
        """SHA-256 over classes, parts, names and labels: tells one data set from another, wherever it lies."""
        parts = {part: [(item.name, item.label) for item in self.parts[part]] for part in PARTS}
        return hashlib.sha256(json.dumps([self.classes, parts]).encode()).hexdigest()


class Dataset(Component):
    """The ``data:`` section of an experiment.

    Images are resized to ``resize`` × ``resize`` (the aspect ratio is not kept, as in the paper's §5.2), mirrored at
    random and cropped at random to ``size`` × ``size`` for training; for judging they are resized straight to ``size``.

    Fields:
        name: which data set.
        resize: side in pixels before the random crop.
        size: side in pixels of what the network sees.
        mirror: whether training mirrors images at random.
    """

    name: str
    resize: Side = 256
    size: Side = 224
    mirror: bool = True

    @model_validator(mode="after")
    def _crop_must_fit(self) -> Dataset:
        if self.resize < self.size:
            raise ValueError(f"resize {self.resize} is smaller than size {self.size}; a crop cannot be larger")
        return self

    @abstractmethod
    def index(self) -> Index:
        """Find classes, images and parts.

        Raises:
            UserError: something is missing or out of place; the message says what is expected.
        """


def read_file(path: Path) -> Image.Image:
    """Decode one image file as RGB, or say which file is no image."""
    try:
        with Image.open(path) as image:
            return as_rgb(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is no readable image ({error}); replace or remove it") from error


def as_rgb(image: Image.Image) -> Image.Image:
    """Any picture as upright 8-bit RGB: EXIF orientation applied, 16 bits scaled to 8, transparency on white."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray(np.rint(np.asarray(image).astype(float) / 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def stratified_split(labels: Sequence[int], shares: Sequence[float], seed: int) -> list[list[int]]:
    """Split positions into groups that hold about the given shares of every class; the same for the same seed.

    Args:
        labels: class of each position.
        shares: the share of each group; they sum to 1. Every group but the last is rounded to the nearest image.
        seed: of the shuffle within each class.
    """
    groups: list[list[int]] = [[] for _ in shares]
    for label in sorted(set(labels)):
        members = [position for position, other in enumerate(labels) if other == label]
        members = list(np.random.default_rng([seed, label]).permutation(members))
        cuts = [*np.rint(np.cumsum([0, *shares[:-1]]) * len(members)).astype(int).tolist(), len(members)]
        for group, start, end in zip(groups, cuts[:-1], cuts[1:], strict=True):
            group.extend(int(position) for position in members[start:end])
    return [sorted(group) for group in groups]
