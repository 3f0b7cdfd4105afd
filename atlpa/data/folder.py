"""A user's own photographs: a folder with one directory a class."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from PIL import Image
from pydantic import Field

from atlpa.data.dataset import PARTS, Dataset, Index, Item, Part, read_file, stratified_split
from atlpa.errors import UserError


class Folder(Dataset):
    """``root/<class>/*.jpg``, split 60/20/20 % of each class; or ``root/train/<class>`` and ``root/test/<class>``.

    With ``train/`` and ``test/``, the validation part is ``validation/`` or ``val/`` if there is one, else a quarter of
    ``train/``.

    Fields:
        root: the folder.
        split_seed: of the stratified split.
    """

    name: Literal["folder"] = "folder"
    root: str
    split_seed: Annotated[int, Field(ge=0)] = 0

    def index(self) -> Index:
        root = Path(self.root)
        if not root.is_dir():
            raise UserError(
                f"no folder {root}; data.root must hold one directory a class, each with that class's images"
            )
        if (root / "train").is_dir() and (root / "test").is_dir():
            return self._published_parts(root)
        classes = _classes(root)
        items = _items(root, classes)
        groups = stratified_split([item.label for item in items], (0.6, 0.2, 0.2), self.split_seed)
        return Index(classes, {part: [items[i] for i in group] for part, group in zip(PARTS, groups, strict=True)})

    def _published_parts(self, root: Path) -> Index:
        classes = _classes(root / "train")
        train, test = _items(root / "train", classes), _items(root / "test", classes)
        watched_part = next((root / name for name in ("validation", "val") if (root / name).is_dir()), None)
        if watched_part:
            parts: dict[Part, list[Item]] = {"train": train, "validation": _items(watched_part, classes)}
        else:
            kept, watched = stratified_split([item.label for item in train], (0.75, 0.25), self.split_seed)
            parts = {"train": [train[i] for i in kept], "validation": [train[i] for i in watched]}
        return Index(classes, {**parts, "test": test})


def _classes(folder: Path) -> tuple[str, ...]:
    classes = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if len(classes) < 2:
        raise UserError(
            f"{folder} holds {len(classes)} class directories; at least 2 are needed, one directory a class"
        )
    return classes


def _items(folder: Path, classes: tuple[str, ...]) -> list[Item]:
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    items = []
    if extra := sorted(d.name for d in folder.iterdir() if d.is_dir() and d.name not in classes and d.name[0] != "."):
        raise UserError(f"{folder} holds classes that the training part lacks: {', '.join(extra)}")
    for label, name in enumerate(classes):
        directory = folder / name
        files = sorted(f for f in directory.rglob("*") if f.suffix.lower() in endings) if directory.is_dir() else []
        if not files:
            raise UserError(f"class {name!r} has no images: {directory} holds no file with an image's ending")
        items += [Item(str(file.relative_to(folder)), label, partial(read_file, file)) for file in files]
    return items
