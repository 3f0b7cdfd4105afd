"""BMW-10 (Krause et al. 2013), ten models of one make, in its published layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from atlpa.data.dataset import Dataset, stratified_split
from atlpa.data.index import Index, Item
from atlpa.data.masks import Box
from atlpa.data.matlab import image_numbers, read_matlab, whole_number
from atlpa.data.names import inside
from atlpa.data.root import data_root
from atlpa.errors import UserError, reason, shown
from atlpa.field_types import PathText

ANNOTATIONS, PICTURES = "bmw10_annos.mat", "bmw10_ims"
CLASSES = 10


class BMW10(Dataset):
    """512 photographs, the published training and test images; a fifth of the training images of a class is validation.

    Classes are those of the annotations, which do not follow the folders' names. Key regions are the bounding boxes.

    Fields:
        root: the folder that holds ``bmw10_release/``; by default ``ATLPA_DATA_ROOT`` from the environment, else
            ``data``.
        split_seed: of the validation images. Default: the same for all, so that all have the same parts.
    """

    name: Literal["bmw10"] = "bmw10"
    root: PathText | None = None
    split_seed: Annotated[int, Field(ge=0)] = 0

    def index(self) -> Index:
        base = self._base()
        annotations, train, test = _annotations(base / ANNOTATIONS)
        items = [_item(base, number, fields) for number, fields in enumerate(annotations, 1)]
        classes = tuple(f"class {number}" for number in range(1, 1 + max(item.label for item in items) + 1))
        kept, watched = stratified_split([items[i - 1].label for i in train], (0.8, 0.2), self.split_seed)
        return Index(
            classes,
            {
                "train": [items[train[i] - 1] for i in kept],
                "validation": [items[train[i] - 1] for i in watched],
                "test": [items[i - 1] for i in test],
            },
        )

    def _base(self) -> Path:
        folder = data_root(self.root)
        for base in (folder / "bmw10_release", folder / "bmw10" / "bmw10_release", folder / "bmw10", folder):
            if (base / PICTURES).is_dir() and (base / ANNOTATIONS).is_file():
                return base
        raise UserError(
            f"no BMW-10 in {folder}: expected bmw10_release/{ANNOTATIONS} and bmw10_release/{PICTURES}/ there; "
            f"get it with: atlpa-data fetch bmw10 --root {folder}, or name another folder with --data-root"
        )


def _annotations(path: Path) -> tuple[Sequence[Mapping[str, Any]], list[int], list[int]]:
    """The annotations, and the 1-based numbers of the training and test images among them."""
    content = read_matlab(path, "annotations of BMW-10")
    try:
        annotations = content["annos"]
        if not (isinstance(annotations, list) and all(isinstance(fields, dict) for fields in annotations)):
            raise ValueError("annos is no list of structures")
        train, test = image_numbers(content, ("train_indices", "test_indices"), len(annotations)).values()
    except (ValueError, LookupError) as error:
        raise UserError(f"{path} holds no annotations of BMW-10 ({reason(error)})") from error
    if both := set(train) & set(test):
        raise UserError(f"{path}: image {min(both)} is in the training and in the test part")
    return annotations, train, test


def _item(base: Path, number: int, fields: Mapping[str, Any]) -> Item:
    """One image as its annotation describes it; some file names end in a newline."""
    try:
        if not isinstance(fields["fname"], str):
            raise ValueError(f"fname {shown(fields['fname'], 40)} is no text")
        name, label = inside(fields["fname"].strip()), whole_number(fields["class"])
        box = Box(*(whole_number(fields[f"bbox_{edge}"]) for edge in ("x1", "y1", "x2", "y2")))
    except KeyError as error:
        raise UserError(f"{base / ANNOTATIONS}: annotation {number} has no {error}") from error
    except ValueError as error:
        named = f"{number} ({shown(fields['fname'], 60)})"
        raise UserError(f"{base / ANNOTATIONS}: annotation {named} is wrong: {reason(error)}") from error
    if not 1 <= label <= CLASSES:
        raise UserError(f"{base / ANNOTATIONS}: {name} has class {label}; the classes are 1 … {CLASSES}")
    path = base / PICTURES / name
    if not path.is_file():
        raise UserError(f"{base / ANNOTATIONS} names {name}, which {base / PICTURES} does not hold")
    return Item(str(name), label - 1, path, box)
