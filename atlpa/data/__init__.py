"""Data sets as files and tensors: what is in them, how it is split, how a batch is made."""

from atlpa.data.augmentation import Augmentation, Mix, ResizedCrop
from atlpa.data.batches import Batches
from atlpa.data.bmw10 import BMW10
from atlpa.data.dataset import Dataset
from atlpa.data.digits import Digits
from atlpa.data.extra import ExtraImages
from atlpa.data.flowers17 import Flowers17
from atlpa.data.folder import Folder
from atlpa.data.images import Images, evenly_spaced, load_images, load_masks, unreadable
from atlpa.data.index import EXTRA, PARTS, Index, Item, Part
from atlpa.data.table import DATASETS, AnyDataset
from atlpa.data.torchvision_sets import Cifar, Flowers102, StanfordCars

__all__ = [
    "BMW10",
    "DATASETS",
    "EXTRA",
    "PARTS",
    "AnyDataset",
    "Augmentation",
    "Batches",
    "Cifar",
    "Dataset",
    "Digits",
    "ExtraImages",
    "Flowers17",
    "Flowers102",
    "Folder",
    "Images",
    "Index",
    "Item",
    "Mix",
    "Part",
    "ResizedCrop",
    "StanfordCars",
    "evenly_spaced",
    "load_images",
    "load_masks",
    "unreadable",
]
