"""The 17 Category Flower Dataset (Nilsback & Zisserman 2006) in its published layout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from atlpa.data.dataset import Dataset
from atlpa.data.index import Index, Item, Part
from atlpa.data.masks import Trimap
from atlpa.data.matlab import image_numbers, read_matlab
from atlpa.data.root import data_root
from atlpa.errors import UserError, reason
from atlpa.field_types import PathText

CLASSES = (
    "daffodil", "snowdrop", "lily of the valley", "bluebell", "crocus", "iris", "tigerlily", "tulip", "fritillary",
    "sunflower", "daisy", "colts' foot", "dandelion", "cowslip", "buttercup", "windflower", "pansy",
)  # fmt: skip
IMAGES_PER_CLASS = 80
SPLIT_KEYS: dict[Part, str] = {"train": "trn", "validation": "val", "test": "tst"}
SOURCE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/17/"


class Flowers17(Dataset):
    """1360 photographs, 80 consecutive ones per class; 40/20/20 per class in each of the three official splits.

    Key regions are the published segmentations of the flower, which many images do not have.

    Fields:
        root: the folder that holds ``flowers17/``; by default ``ATLPA_DATA_ROOT`` from the environment, else ``data``.
        split: which official split of ``datasplits.mat``: 1, 2 or 3. Default: the first; the paper names none.
    """

    name: Literal["flowers17"] = "flowers17"
    root: PathText | None = None
    split: Literal[1, 2, 3] = 1

    def index(self) -> Index:
        base = self._base()
        photographs = sorted((base / "jpg").glob("image_*.jpg"))
        wanted = len(CLASSES) * IMAGES_PER_CLASS
        if len(photographs) != wanted:
            raise UserError(
                f"{base / 'jpg'} holds {len(photographs)} of {wanted} photographs; unpack 17flowers.tgz anew"
            )
        splits = _splits(base / "datasplits.mat")
        masks = {path.stem for path in (base / "trimaps").glob("image_*.png")}
        # The published indices are 1-based and shuffled; the order of the files is what we judge in.
        parts: dict[Part, list[Item]] = {
            part: [_item(base, number, masks) for number in sorted(splits[f"{key}{self.split}"])]
            for part, key in SPLIT_KEYS.items()
        }
        return Index(CLASSES, parts)

    def _base(self) -> Path:
        folder = data_root(self.root)
        for base in (folder / "flowers17", folder):
            if (base / "jpg").is_dir() and (base / "datasplits.mat").is_file():
                return base
        raise UserError(
            f"no Flowers-17 in {folder}: expected flowers17/jpg/image_0001.jpg … and flowers17/datasplits.mat there; "
            f"get it with: atlpa-data fetch flowers17 --root {folder}, or name another folder with --data-root"
        )


def _splits(path: Path) -> dict[str, list[int]]:
    """Image numbers by key: trn1 … tst3."""
    content = read_matlab(path, "official splits")
    try:
        keys = [f"{key}{split}" for key in SPLIT_KEYS.values() for split in (1, 2, 3)]
        return image_numbers(content, keys, len(CLASSES) * IMAGES_PER_CLASS)
    except ValueError as error:
        raise UserError(f"{path} holds no official splits ({reason(error)}); get it from {SOURCE}") from error


def _item(base: Path, number: int, masks: set[str]) -> Item:
    name = f"image_{number:04d}"
    mask = Trimap(base / "trimaps" / f"{name}.png") if name in masks else None
    return Item(name, (number - 1) // IMAGES_PER_CLASS, base / "jpg" / f"{name}.jpg", mask)
