"""Data sets that torchvision reads: the field's own benchmarks, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from atlpa.data.dataset import Dataset, Side, stratified_split
from atlpa.data.index import Index, Item, Part
from atlpa.data.matlab import read_matlab, whole_number
from atlpa.data.names import inside, readable
from atlpa.data.root import data_root
from atlpa.errors import UserError, reason, shown
from atlpa.field_types import PathText


class TorchvisionSet(Dataset):
    """What torchvision's data sets share.

    Fields:
        root: the folder that torchvision was told to download to; by default ``ATLPA_DATA_ROOT`` from the environment,
            else ``data``.
    """

    root: PathText | None = None

    def open(self, kind: str, **options: Any) -> Any:
        """One of torchvision's data sets by the name of its class, which must be there already.

        Raises:
            UserError: it is not, or is damaged.
        """
        from torchvision import datasets  # takes as long as torch

        folder = data_root(self.root)
        try:
            return getattr(datasets, kind)(str(folder), download=False, **options)
        except Exception as error:  # torchvision's readers raise anything at all on damaged files
            # Its publisher no longer serves Stanford Cars.
            hint = f"get it with: atlpa-data fetch {self.name} --root {folder}"
            hint = "put it there as torchvision expects it" if self.name == "stanford_cars" else hint
            raise UserError(f"no {self.name} in {folder} ({reason(error)}); {hint}") from error


class Cifar(TorchvisionSet):
    """CIFAR-10 or CIFAR-100 at 32×32; a tenth of the training images of each class, at random, is the validation part.

    Fields:
        split_seed: of the validation images. Default: the same for all, so that all have the same parts.
    """

    name: Literal["cifar10", "cifar100"]
    resize: Side = 36
    size: Side = 32
    split_seed: Annotated[int, Field(ge=0)] = 0

    def index(self) -> Index:
        kind = self.name.upper()
        train, test = self.open(kind, train=True), self.open(kind, train=False)
        items = [Item(f"train {i}", int(label), train.data[i]) for i, label in enumerate(train.targets)]
        kept, watched = stratified_split(train.targets, (0.9, 0.1), self.split_seed)
        return Index(
            tuple(train.classes),
            {
                "train": [items[i] for i in kept],
                "validation": [items[i] for i in watched],
                "test": [Item(f"test {i}", int(label), test.data[i]) for i, label in enumerate(test.targets)],
            },
        )


class Flowers102(TorchvisionSet):
    """Oxford's 102 flowers with the published parts: 10 training and 10 validation images per class, the rest test."""

    name: Literal["flowers102"] = "flowers102"

    def index(self) -> Index:
        splits: dict[Part, str] = {"train": "train", "validation": "val", "test": "test"}
        parts: dict[Part, list[Item]] = {}
        for part, split in splits.items():
            found = self.open("Flowers102", split=split)
            pairs = zip(found._image_files, found._labels, strict=True)  # torchvision shows files nowhere else
            parts[part] = [Item(Path(file).name, int(label), Path(file)) for file, label in pairs]
        return Index(tuple(found.classes), parts)


class StanfordCars(TorchvisionSet):
    """196 car models with the published training and test parts; a tenth of the training images is validation.

    Fields:
        split_seed: of the validation images. Default: the same for all, so that all have the same parts.
    """

    name: Literal["stanford_cars"] = "stanford_cars"
    split_seed: Annotated[int, Field(ge=0)] = 0

    def index(self) -> Index:
        parts = {}
        base = data_root(self.root) / "stanford_cars"
        for file in [*base.glob("*.mat"), *base.glob("devkit/*.mat")]:
            read_matlab(file, "annotations of Stanford Cars")  # of which torchvision itself believes everything
        for split in ("train", "test"):
            found = self.open("StanfordCars", split=split)
            parts[split] = [_car(base, split, file, label) for file, label in found._samples]
        train = parts["train"]
        kept, watched = stratified_split([item.label for item in train], (0.9, 0.1), self.split_seed)
        return Index(
            tuple(readable(str(name)) for name in found.classes),
            {"train": [train[i] for i in kept], "validation": [train[i] for i in watched], "test": parts["test"]},
        )


def _car(base: Path, split: str, file: str, label: object) -> Item:
    """One image of Stanford Cars, as its annotation has it."""
    try:
        name = inside(str(Path(file).relative_to(base))).name
        return Item(f"{split}/{name}", whole_number(label), Path(file))
    except ValueError as error:
        raise UserError(f"the annotations in {base} name {shown(file)}: {reason(error)}; fetch them anew") from error
