"""Key regions: where in an image the thing itself is, if anybody has said so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ImageOps

from atlpa.data.decode import as_8_bits, open_picture, why
from atlpa.errors import UserError

OUTSIDE, INSIDE, UNKNOWN = 0, 1, 255
"""The values of a mask. Unknown is not outside: nothing was said about these pixels."""

Size = tuple[int, int]
"""Width and height in pixels, as Pillow has it."""

Mask = Callable[[Size], np.ndarray]
"""The key region of a picture of some size, ``(H, W)`` uint8."""


@dataclass(frozen=True)
class Trimap:
    """A segmentation by classes, as Flowers-17 publishes them: 0 is unlabeled, 1 the flower, the rest is not."""

    path: Path

    def __call__(self, size: Size) -> np.ndarray:
        """The flower of a picture of this size."""
        labels = _read(self.path, size, gray=False)
        return np.select([labels == 0, labels == 1], [UNKNOWN, INSIDE], OUTSIDE).astype(np.uint8)


@dataclass(frozen=True)
class MaskFile:
    """A black-and-white image: what is brighter than half is the key region."""

    path: Path

    def __call__(self, size: Size) -> np.ndarray:
        """The key region of a picture of this size."""
        return np.where(_read(self.path, size, gray=True) > 127, INSIDE, OUTSIDE).astype(np.uint8)


@dataclass(frozen=True)
class Box:
    """A bounding box with both corners included, counted from 1 as Matlab does; it may reach beyond its picture.

    Raises:
        ValueError: no pixel of any picture lies in it.
    """

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if not (max(self.left, 1) <= self.right and max(self.top, 1) <= self.bottom):
            raise ValueError(f"no pixel lies in columns {self.left} … {self.right}, rows {self.top} … {self.bottom}")

    def __call__(self, size: Size) -> np.ndarray:
        """The box in a picture of this size."""
        mask = np.full(size[::-1], OUTSIDE, np.uint8)
        mask[max(self.top, 1) - 1 : self.bottom, max(self.left, 1) - 1 : self.right] = INSIDE
        return mask


def _read(path: Path, size: Size, *, gray: bool) -> np.ndarray:
    """The values of a mask; ``gray``: as upright 8-bit gray, else the file's own numbers."""
    try:
        with open_picture(path) as image:
            values = np.asarray(ImageOps.exif_transpose(as_8_bits(image)).convert("L") if gray else image)
    except Exception as error:  # Pillow's readers raise anything at all on damaged files
        raise UserError(f"mask {path} is no readable image ({why(error, path)}); replace or remove it") from error
    if values.shape != size[::-1]:
        found = f"{values.shape[1]}×{values.shape[0]}" + ("" if values.ndim == 2 else " in color")
        raise UserError(f"mask {path} is {found}, its image {size[0]}×{size[1]}; a mask has one value for each pixel")
    return values
