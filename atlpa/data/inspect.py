"""What a data set really holds: every image opened once, everything odd about it listed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from atlpa.data.index import EXTRA, Index, Item, picture_digest
from atlpa.data.masks import INSIDE, UNKNOWN
from atlpa.errors import UserError
from atlpa.progress import Progress


@dataclass(frozen=True)
class Inspected:
    """One image, opened.

    Fields:
        part: the one it is in, or ``extra``.
        item: the image.
        size: width and height; ``None`` if it cannot be read.
        pixels: SHA-256 of the decoded picture.
        inside: share of its pixels in the key region; ``None`` without a mask.
        unknown: share of its pixels that the mask says nothing about.
        problem: what is wrong with the image or its mask.
    """

    part: str
    item: Item
    size: tuple[int, int] | None = None
    pixels: bytes = b""
    inside: float | None = None
    unknown: float | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Findings:
    """What was found.

    Fields:
        images: every image in the order of the data set.
        problems: one line for each unreadable image, broken mask and group of equal pictures.
    """

    images: Sequence[Inspected]
    problems: Sequence[str] = field(default_factory=list)

    def sizes(self) -> str:
        """Smallest, median and largest width × height."""
        sizes = [image.size for image in self.images if image.size]
        if not sizes:
            return "no image can be read"
        by_area = sorted(sizes, key=lambda size: size[0] * size[1])
        middle = f"{median(w for w, _ in sizes):.0f}×{median(h for _, h in sizes):.0f}"
        return f"{_times(by_area[0])} smallest, {middle} median, {_times(by_area[-1])} largest"

    def masks(self) -> str:
        """How many images have a key region, and how much of them it covers."""
        masked = [image for image in self.images if image.inside is not None]
        if not masked:
            return "no image has one"
        inside = sum(image.inside or 0 for image in masked) / len(masked)
        unknown = sum(image.unknown or 0 for image in masked) / len(masked)
        return (
            f"{len(masked)} of {len(self.images)} images have one; in these it covers {inside:.0%} of the pixels, "
            f"{unknown:.0%} are unknown"
        )


def inspect(index: Index) -> Findings:
    """Open every image and mask, with a progress bar."""
    todo = [(part, item) for part, items in [*index.parts.items(), (EXTRA, index.extra)] for item in items]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images = list(Progress("checking", len(todo), "image").over(pool.map(_inspect, todo)))
    alike = defaultdict(list)
    for image in images:
        if image.size:
            alike[image.pixels].append(image)
    equal = [
        f"the same picture {len(group)} times{_across(group)}: "
        + ", ".join(f"{image.item.name} ({index.classes[image.item.label]}, {image.part})" for image in group)
        for group in alike.values()
        if len(group) > 1
    ]
    return Findings(images, [image.problem for image in images if image.problem] + equal)


def _inspect(place: tuple[str, Item]) -> Inspected:
    part, item = place
    try:
        picture = item.open()
    except UserError as error:
        return Inspected(part, item, problem=str(error))
    size = picture.size
    pixels = picture_digest(picture)
    if item.mask is None:
        return Inspected(part, item, size, pixels)
    try:
        mask = item.mask(size)
    except UserError as error:
        return Inspected(part, item, size, pixels, problem=str(error))
    inside, unknown = (float(np.mean(mask == value)) for value in (INSIDE, UNKNOWN))
    problem = None if inside else f"{item.name} has a mask without any key region"
    return Inspected(part, item, size, pixels, inside, unknown, problem)


def _across(group: Sequence[Inspected]) -> str:
    parts = {image.part for image in group}
    return f", across {' and '.join(sorted(parts))}" if len(parts) > 1 else ""


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
