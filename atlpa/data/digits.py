"""scikit-learn's bundled handwritten digits: 1797 real scans that need no download."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
from PIL import Image

from atlpa.data.dataset import PARTS, Dataset, Index, Item, Side, stratified_split


class Digits(Dataset):
    """Ten classes of 8×8 gray scans, shown enlarged as RGB. 60/20/20 % of each class, the split is fixed.

    A mirrored digit is another sign, so training does not mirror.
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
            Item(f"digit_{number:04d}", int(label), partial(_picture, scan.reshape(8, 8)))
            for number, (scan, label) in enumerate(zip(scans, labels, strict=True))
        ]
        parts = {part: [items[i] for i in group] for part, group in zip(PARTS, groups, strict=True)}
        return Index(classes=tuple("0123456789"), parts=parts)


def _picture(scan: np.ndarray) -> Image.Image:
    """Ink 0 … 16 as gray 0 … 255."""
    return Image.fromarray(np.rint(scan * (255 / 16)).astype(np.uint8)).convert("RGB")
