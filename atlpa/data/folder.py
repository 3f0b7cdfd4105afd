"""A user's own photographs: a folder with one directory a class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from PIL import Image
from pydantic import Field

from atlpa.data.dataset import Dataset, stratified_split
from atlpa.data.index import PARTS, Index, Item
from atlpa.data.masks import MaskFile
from atlpa.errors import UserError


class Folder(Dataset):
    """``root/<class>/*.jpg``, split 60/20/20 % of each class; or ``root/train/<class>`` and ``root/test/<class>``.

    With ``train/`` and ``test/``, the validation part is ``validation/`` or ``val/`` if there is one, else a quarter of
    ``train/``.

    Fields:
        root: the folder.
        masks: a folder with the key regions, laid out as ``root`` is, black and white, each named as its image but
            ending in ``.png``; images may lack one.
        split_seed: of the stratified split.
    """

    name: Literal["folder"] = "folder"
    root: str
    masks: str | None = None
    split_seed: Annotated[int, Field(ge=0)] = 0

    def index(self) -> Index:
        root = Path(self.root)
        if not root.is_dir():
            raise UserError(
                f"no folder {root}; data.root must hold one directory a class, each with that class's images"
            )
        try:
            index = self._published_parts(root) if (root / "train").is_dir() and (root / "test").is_dir() else None
            index = index or self._split(root)
        except PermissionError as error:
            raise UserError(f"{error.filename} may not be read; ask its owner, or copy what is needed") from error
        if self.masks and not any(item.mask for items in index.parts.values() for item in items):
            example = Path(self.masks) / Path(index.items("train")[0].name).with_suffix(".png")
            raise UserError(f"data.masks {self.masks} holds no mask of any image; expected for example {example}")
        return index

    def _split(self, root: Path) -> Index:
        classes = _classes(root)
        items = self._items(root, classes)
        groups = stratified_split([item.label for item in items], (0.6, 0.2, 0.2), self.split_seed)
        return Index(classes, {part: [items[i] for i in group] for part, group in zip(PARTS, groups, strict=True)})

    def _published_parts(self, root: Path) -> Index:
        classes = _classes(root / "train")
        train, test = self._items(root / "train", classes), self._items(root / "test", classes)
        watched_part = next((root / name for name in ("validation", "val") if (root / name).is_dir()), None)
        if watched_part:
            return Index(classes, {"train": train, "validation": self._items(watched_part, classes), "test": test})
        kept, watched = stratified_split([item.label for item in train], (0.75, 0.25), self.split_seed)
        return Index(
            classes, {"train": [train[i] for i in kept], "validation": [train[i] for i in watched], "test": test}
        )

    def _items(self, folder: Path, classes: tuple[str, ...]) -> list[Item]:
        endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
        directories = [entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."]
        if extra := sorted(set(directories) - set(classes)):
            raise UserError(f"{folder} holds classes that the training part lacks: {', '.join(extra)}")
        items = []
        for label, name in enumerate(classes):
            # Unlike rglob, iterdir does not keep quiet about a directory that may not be read.
            entries = list((folder / name).iterdir()) if name in directories else []
            files = sorted(f for f in (folder / name).rglob("*") if f.suffix.lower() in endings) if entries else []
            if not files:
                raise UserError(f"class {name!r} has no images: {folder / name} holds no file with an image's ending")
            items += [self._item(file, label) for file in files]
        return items

    def _item(self, file: Path, label: int) -> Item:
        name = file.relative_to(self.root)
        mask = Path(self.masks) / name.with_suffix(".png") if self.masks else None
        return Item(name.as_posix(), label, file, MaskFile(mask) if mask and mask.is_file() else None)


def _classes(folder: Path) -> tuple[str, ...]:
    classes = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if len(classes) < 2:
        raise UserError(
            f"{folder} holds {len(classes)} class directories; at least 2 are needed, one directory a class"
        )
    return classes
