"""A user's own photographs: a folder with one directory per class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from atlpa.data.class_folders import class_folders, find_folder, pictures, refuse_parts
from atlpa.data.dataset import Dataset, stratified_split
from atlpa.data.index import PARTS, Index, Item, Part
from atlpa.data.masks import MaskFile
from atlpa.data.names import readable
from atlpa.errors import UserError, shown
from atlpa.field_types import PathText

PART_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("valid", "val", "validation"),
    "test": ("test",),
}


class Folder(Dataset):
    """``root/<class>/*.jpg``, split 60/20/20 % of each class; or ``root/train/<class>`` and ``root/test/<class>``.

    With ``train/`` and ``test/``, the validation part is ``validation/``, ``val/`` or ``valid/``; without one it is a
    quarter of ``train/``. A link is as good as what it leads to. What a name cannot be written down with (a line's
    end, bytes that are not UTF-8) is shown and recorded as an escape such as ``\\n``.

    Fields:
        root: the folder, as given or below ``ATLPA_DATA_ROOT`` (else ``data``).
        masks: a folder with the key regions, laid out as ``root`` is, black and white, each named as its image but
            ending in ``.png``; images may lack one.
        split_seed: of the stratified split. Default: the same for all, so that all have the same parts.
        judge_all: whether all images of ``root/<class>`` are for judging, and none is trained on.
    """

    name: Literal["folder"] = "folder"
    root: PathText
    masks: PathText | None = None
    split_seed: Annotated[int, Field(ge=0)] = 0
    judge_all: bool = False

    def index(self) -> Index:
        root = find_folder(self.root, "data.root")
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

    def _split(self, root: Path) -> Index:
        classes = self._classes(root)
        items = self._items(root, root, classes)
        if self.judge_all:
            return Index(_names(classes), {"train": [], "validation": [], "test": items})
        groups = stratified_split([item.label for item in items], (0.6, 0.2, 0.2), self.split_seed)
        return Index(
            _names(classes), {part: [items[i] for i in group] for part, group in zip(PARTS, groups, strict=True)}
        )

    def _published_parts(self, root: Path, parts: dict[Part, Path]) -> Index:
        classes = self._classes(parts["train"])
        found = {part: self._items(root, folder, classes) for part, folder in parts.items()}
        if "validation" not in found:
            train = found["train"]
            kept, watched = stratified_split([item.label for item in train], (0.75, 0.25), self.split_seed)
            found |= {"train": [train[i] for i in kept], "validation": [train[i] for i in watched]}
        return Index(_names(classes), found)

    def _classes(self, folder: Path) -> tuple[str, ...]:
        """The directories of a folder, but for that of the masks."""
        classes = class_folders(folder, but=self.masks)
        if len(classes) < 2:
            raise UserError(
                f"{folder} holds {len(classes)} class directories; at least 2 are needed, one directory per class"
            )
        refuse_parts(folder, classes)
        return tuple(classes)

    def _items(self, root: Path, folder: Path, classes: tuple[str, ...]) -> list[Item]:
        if extra := sorted(set(self._classes(folder)) - set(classes)):
            raise UserError(f"{folder} holds classes that the training part lacks: {', '.join(map(shown, extra))}")
        items = []
        for label, name in enumerate(classes):
            items += [self._item(root, file, label) for file in pictures(folder, name)]
        return items

    def _item(self, root: Path, file: Path, label: int) -> Item:
        name = file.relative_to(root)
        mask = Path(self.masks) / name.with_suffix(".png") if self.masks else None
        there = mask and os.path.lexists(mask)  # one that is no file is an error when it is read
        return Item(readable(name.as_posix()), label, file, MaskFile(mask) if mask and there else None)


def _names(classes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(readable(name) for name in classes)
