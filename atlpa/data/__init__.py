"""Data sets as files and tensors: what is in them, how it is split, how a batch is made."""

from atlpa.data.batches import Batches
from atlpa.data.dataset import PARTS, Dataset, Index, Item, Part
from atlpa.data.digits import Digits
from atlpa.data.flowers17 import Flowers17
from atlpa.data.folder import Folder
from atlpa.data.images import Images, evenly_spaced, load_images

DATASETS: dict[str, type[Dataset]] = {"digits": Digits, "flowers17": Flowers17, "folder": Folder}

__all__ = [
    "DATASETS",
    "PARTS",
    "Batches",
    "Dataset",
    "Digits",
    "Flowers17",
    "Folder",
    "Images",
    "Index",
    "Item",
    "Part",
    "evenly_spaced",
    "load_images",
]
