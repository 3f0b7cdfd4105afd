"""scikit-learn's bundled handwritten digits: 1797 real scans that need no download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from atlpa.data.dataset import Dataset, Side, stratified_split
from atlpa.data.index import PARTS, Index, Item
from atlpa.data.masks import INSIDE, OUTSIDE, Size

INK = 4
"""Of 16 levels; paler pixels are the blur of the scan."""


class Digits(Dataset):
    """Ten classes of 8×8 gray scans, shown enlarged as RGB. 60/20/20 % of each class, the split is fixed.

    A mirrored digit is another sign, so training does not mirror. The key region of a digit is its ink.
    """

    name: Literal["digits"] = "digits"
    resize: Side = 36
    size: Side = 32
    mirror: bool = False

    def index(self) -> Index:
        from sklearn.datasets import load_digits  # takes a second to import, and only this data set needs it

        scans, labels = load_digits(return_X_y=True)
        groups = stratified_split(labels.tolist(), (0.6, 0.2, 0.2), seed=0)
        items = [
            Item(f"digit_{number:04d}", int(label), _gray(scan), Ink(scan.reshape(8, 8)))
            for number, (scan, label) in enumerate(zip(scans, labels, strict=True))
        ]
        parts = {part: [items[i] for i in group] for part, group in zip(PARTS, groups, strict=True)}
        return Index(classes=tuple("0123456789"), parts=parts)


def _gray(scan: np.ndarray) -> np.ndarray:
    """Ink 0 … 16 as gray 0 … 255, ``(8, 8)``."""
    return np.rint(scan.reshape(8, 8) * (255 / 16)).astype(np.uint8)


@dataclass(frozen=True)
class Ink:
    """The pixels of a scan that hold ink."""

    scan: np.ndarray

    def __call__(self, size: Size) -> np.ndarray:
        """The ink; a scan has one size."""
        assert size == self.scan.shape[::-1]
        return np.where(self.scan >= INK, INSIDE, OUTSIDE).astype(np.uint8)
