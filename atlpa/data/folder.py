"""A user's own photographs: a folder with one directory per class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from PIL import Image
from pydantic import Field

from atlpa.data.dataset import Dataset, data_root, stratified_split
from atlpa.data.index import PARTS, Index, Item, Part
from atlpa.data.masks import MaskFile
from atlpa.errors import UserError

PART_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("valid", "val", "validation"),
    "test": ("test",),
}


class Folder(Dataset):
    """``root/<class>/*.jpg``, split 60/20/20 % of each class; or ``root/train/<class>`` and ``root/test/<class>``.

    With ``train/`` and ``test/``, the validation part is ``validation/``, ``val/`` or ``valid/``; without one it is a
    quarter of ``train/``.

    Fields:
        root: the folder, as given or below ``ATLPA_DATA_ROOT`` (else ``data``).
        masks: a folder with the key regions, laid out as ``root`` is, black and white, each named as its image but
            ending in ``.png``; images may lack one.
        split_seed: of the stratified split.
    """

    name: Literal["folder"] = "folder"
    root: str
    masks: str | None = None
    split_seed: Annotated[int, Field(ge=0)] = 0

    def index(self) -> Index:
        root = self._found()
        parts = {part: root / name for part, names in PART_NAMES.items() for name in names if (root / name).is_dir()}
        if "train" in parts and "test" in parts:
            index = self._published_parts(root, parts)
        elif "train" in parts and "validation" in parts:
            raise UserError(
                f"{root} holds train/ and {parts['validation'].name}/, but no test/, the images to be judged on; if "
                f"{parts['validation'].name}/ are those, rename it"
            )
        else:
            index = self._split(root)
        if self.masks and not any(item.mask for items in index.parts.values() for item in items):
            example = Path(self.masks) / Path(index.items("train")[0].name).with_suffix(".png")
            raise UserError(f"data.masks {self.masks} holds no mask of any image; expected for example {example}")
        return index

    def _found(self) -> Path:
        """The folder as given, else below the folder of published data sets."""
        places = [Path(self.root), data_root(None) / self.root]
        for root in places:
            if root.is_dir():
                return root
        shown = " or ".join(str(place) for place in dict.fromkeys(places))
        raise UserError(
            f"no folder {shown}; data.root must hold one directory per class, each with that class's images"
        )

    def _split(self, root: Path) -> Index:
        classes = self._classes(root)
        items = self._items(root, root, classes)
        groups = stratified_split([item.label for item in items], (0.6, 0.2, 0.2), self.split_seed)
        return Index(classes, {part: [items[i] for i in group] for part, group in zip(PARTS, groups, strict=True)})

    def _published_parts(self, root: Path, parts: dict[Part, Path]) -> Index:
        classes = self._classes(parts["train"])
        found = {part: self._items(root, folder, classes) for part, folder in parts.items()}
        if "validation" not in found:
            train = found["train"]
            kept, watched = stratified_split([item.label for item in train], (0.75, 0.25), self.split_seed)
            found |= {"train": [train[i] for i in kept], "validation": [train[i] for i in watched]}
        return Index(classes, found)

    def _classes(self, folder: Path) -> tuple[str, ...]:
        """The directories of a folder, but for that of the masks."""
        own = Path(self.masks).resolve() if self.masks else None
        classes = sorted(
            entry.name
            for entry in folder.iterdir()
            if entry.is_dir() and entry.name[0] != "." and entry.resolve() != own
        )
        if len(classes) < 2:
            raise UserError(
                f"{folder} holds {len(classes)} class directories; at least 2 are needed, one directory per class"
            )
        return tuple(classes)

    def _items(self, root: Path, folder: Path, classes: tuple[str, ...]) -> list[Item]:
        if extra := sorted(set(self._classes(folder)) - set(classes)):
            raise UserError(f"{folder} holds classes that the training part lacks: {', '.join(extra)}")
        items = []
        for label, name in enumerate(classes):
            files = sorted(_pictures(folder / name))
            if not files:
                raise UserError(f"class {name!r} has no images: {folder / name} holds no file with an image's ending")
            items += [self._item(root, file, label) for file in files]
        return items

    def _item(self, root: Path, file: Path, label: int) -> Item:
        name = file.relative_to(root)
        mask = Path(self.masks) / name.with_suffix(".png") if self.masks else None
        return Item(name.as_posix(), label, file, MaskFile(mask) if mask and mask.is_file() else None)


def _pictures(folder: Path) -> Iterator[Path]:
    """Files with an image's ending, at any depth; a directory that may not be read is an error, not an empty one."""
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}

    def stop(error: OSError) -> None:
        raise error

    if folder.is_dir():
        for place, _, names in os.walk(folder, onerror=stop):
            yield from (Path(place, name) for name in names if Path(name).suffix.lower() in endings)
