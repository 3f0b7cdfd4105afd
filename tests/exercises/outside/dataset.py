"""Photographs that a table lists: ``list.csv`` with the columns file, class and part."""

import csv
from pathlib import Path

from atlpa.data import PARTS, Dataset, Index, Item
from atlpa.errors import UserError


class Listed(Dataset):
    """The files of ``root`` as ``root/list.csv`` has them, which names a class and a part for each."""

    root: str
    resize: int = 20
    size: int = 16

    def index(self) -> Index:
        table = Path(self.root) / "list.csv"
        if not table.is_file():
            raise UserError(f"no {table}; it has a line for each photograph: file, class, part")
        rows = list(csv.DictReader(table.read_text().splitlines()))
        classes = tuple(sorted({row["class"] for row in rows}))
        items = [Item(row["file"], classes.index(row["class"]), Path(self.root) / row["file"]) for row in rows]
        of = [row["part"] for row in rows]
        return Index(classes, {part: [i for i, p in zip(items, of, strict=True) if p == part] for part in PARTS})
