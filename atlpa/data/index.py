"""What a data set holds, before any image is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from atlpa.data.decode import Content, decode_image
from atlpa.data.masks import Mask
from atlpa.data.names import readable
from atlpa.errors import UserError, shown
from atlpa.plain_file import open_plain
from atlpa.records.digest import digest

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
EXTRA = "extra"
"""What the listing calls the images that are of no part."""


@dataclass(frozen=True)
class Item:
    """One labeled image, not yet decoded.

    Fields:
        name: unique in its data set; written down and shown as it is, see ``atlpa.data.names.readable``.
        label: index of its class.
        content: its file, or its pixels.
        mask: its key region; ``None`` where nobody has drawn one.
    """

    name: str
    label: int
    content: Content
    mask: Mask | None = None

    def open(self) -> Image.Image:
        """The picture in RGB.

        Raises:
            UserError: it cannot be read; the file is named.
        """
        return decode_image(self.content)

    @property
    def stamp(self) -> object:
        """What changes whenever its file does; ``None`` for pixels, and where there is no file."""
        try:
            found = None if isinstance(self.content, np.ndarray) else self.content.stat()
        except OSError:
            return None
        return found and (found.st_ino, found.st_size, found.st_mtime_ns)

    def fingerprint(self) -> bytes:
        """SHA-256 of the file's bytes, or of the pixels."""
        if isinstance(self.content, np.ndarray):
            return hashlib.sha256(str(self.content.shape).encode() + self.content.tobytes()).digest()
        try:
            with open_plain(self.content) as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise UserError(f"{self.content} cannot be read ({error.strerror})") from error


def picture_digest(picture: Image.Image) -> bytes:
    """SHA-256 of a decoded picture: its size and its pixels."""
    return hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).digest()


@dataclass(frozen=True)
class Index:
    """Classes, and labeled images in three parts.

    Fields:
        classes: their names.
        parts: the images of each part, in order.
        extra: further images for training alone, of no part.

    Raises:
        UserError: an image is there twice or of no class, or a name could not be written down.
    """

    classes: tuple[str, ...]
    parts: Mapping[Part, Sequence[Item]]
    extra: Sequence[Item] = ()

    def __post_init__(self) -> None:
        where: dict[str, str] = {}
        for part, items in [*self.parts.items(), (EXTRA, self.extra)]:
            for item in items:
                if item.name in where:
                    raise UserError(f"image {shown(item.name)} is in {_both(where[item.name], part)}")
                if item.label not in range(len(self.classes)):
                    raise UserError(f"image {shown(item.name)} has class {item.label} of {len(self.classes)}")
                where[item.name] = part
        for name in (*self.classes, *where):
            if readable(name) != name:
                raise UserError(f"{shown(name)} cannot be written down; name it {readable(name)!r}")

    def items(self, *parts: Part) -> list[Item]:
        """The images of some parts, in the order of the data set.

        Raises:
            UserError: a part is empty.
        """
        for part in parts:
            if not self.parts[part]:
                raise UserError(f"the {part} part holds no images; a 60/20/20 split needs at least 4 images per class")
        return [item for part in parts for item in self.parts[part]]

    def without(self, names: Collection[str]) -> Index:
        """The same data set, some images left out.

        Raises:
            UserError: a class has no training image then, or no extra image is left.
        """
        kept = {part: [item for item in items if item.name not in names] for part, items in self.parts.items()}
        labels = {item.label for item in kept["train"]}
        if names and (empty := [name for label, name in enumerate(self.classes) if label not in labels]):
            raise UserError(f"class {empty[0]!r} has no readable training image")
        extra = [item for item in self.extra if item.name not in names]
        if self.extra and not extra:
            raise UserError("no extra image is readable; leave data.extra out")
        return replace(self, parts=kept, extra=extra)

    def listing(self) -> dict[str, dict[str, str]]:
        """Each part's images in order, name → class, for people to read and for ``as_listed``; extra ones last."""
        parts: dict[str, Sequence[Item]] = {part: self.parts[part] for part in PARTS}
        parts |= {EXTRA: self.extra} if self.extra else {}
        return {part: {item.name: self.classes[item.label] for item in items} for part, items in parts.items()}

    def as_listed(self, listing: Mapping[str, Mapping[str, str]]) -> Index | None:
        """The same images in the parts that were written down; ``None`` if one of them is no longer there.

        Extra images are for training alone. Where they were not looked for, their names and classes stand for them.
        """
        items = {item.name: item for part in self.parts.values() for item in part}
        extra, further = listing.get(EXTRA, {}), {item.name: item for item in self.extra}
        if not further and set(extra.values()) <= set(self.classes):
            further = {name: Item(name, self.classes.index(label), Path(name)) for name, label in extra.items()}
        if not (further.keys() >= extra.keys() and all(name in items for part in PARTS for name in listing[part])):
            return None
        parts = {part: [items[name] for name in listing[part]] for part in PARTS}
        return replace(self, parts=parts, extra=[further[name] for name in extra])

    @property
    def digest(self) -> str:
        """SHA-256 over classes, parts, names and labels: tells one data set from another, wherever it lies.

        Extra images, which nobody is judged on, are left to ``training_digest``.
        """
        parts = {part: _labeled(self.parts[part]) for part in PARTS}
        return digest([self.classes, parts], sort_keys=False)

    @property
    def training_digest(self) -> str:
        """The same with the names and labels of the extra images, if there are any."""
        return digest([self.digest, _labeled(self.extra)]) if self.extra else self.digest


def _labeled(items: Iterable[Item]) -> list[tuple[str, int]]:
    return [(item.name, item.label) for item in items]


def _both(first: str, second: str) -> str:
    return f"the {first} part twice" if first == second else f"the {first} and in the {second} part"
