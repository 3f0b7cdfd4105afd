"""Further images for training alone, such as generated ones: a second folder, and its share of each batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
from pydantic import Field

from atlpa.component import Component
from atlpa.data.class_folders import class_folders, find_folder, pictures
from atlpa.data.index import Item, picture_digest
from atlpa.data.names import readable
from atlpa.errors import UserError, unknown_name
from atlpa.field_types import Number, PathText
from atlpa.progress import Progress


class ExtraImages(Component):
    """Further images for training: one directory per class, named as the data set's; classes may be missing.

    They are never judged, and never in the validation or the test part. Each batch has as many of them as any other,
    in an order of their own, in which each epoch is a fresh permutation.

    Fields:
        root: the folder, as given or below ``ATLPA_DATA_ROOT`` (else ``data``).
        share: of the images of each batch, rounded to whole images: at least one, and fewer than all.
    """

    root: PathText
    share: Annotated[Number, Field(gt=0, lt=1)]

    def of_batch(self, batch_size: int) -> int:
        """How many images of a batch are extra ones.

        Raises:
            ValueError: the share comes to none, or to all of them.
        """
        count = round(self.share * batch_size)
        if not 0 < count < batch_size:
            raise ValueError(
                f"data.extra.share {self.share:g} of a batch of {batch_size} comes to {count} images; it must be at "
                f"least one and fewer than all: give {1 / batch_size:.3g} to {1 - 1 / batch_size:.3g}"
            )
        return count

    def items(self, classes: Sequence[str]) -> list[Item]:
        """The images, named ``extra/<class>/…``.

        Args:
            classes: of the data set.

        Raises:
            UserError: no such folder, nothing in it, a class that is not the data set's, or one without images.
        """
        folder = find_folder(self.root, "data.extra.root")
        names = class_folders(folder)
        if not names:
            raise UserError(f"{folder} holds no directory; data.extra.root must hold one for each class, of its name")
        found = []
        for name in names:
            if (known := readable(name)) not in classes:
                raise UserError(f"data.extra.root {folder}: {unknown_name('class', known, classes)}")
            for file in pictures(folder, name):
                place = readable(file.relative_to(folder).as_posix())
                found.append(Item(f"extra/{place}", classes.index(known), file))
        return found


def must_be_apart(extra: Sequence[Item], judged: Sequence[Item]) -> None:
    """Refuse extra images that are judged images too: the network would be judged on what it was trained on.

    Files are compared by their bytes; with pixels that no file holds, as those of CIFAR, by the decoded pictures. A
    judged image that was saved anew in another format is not found where both are files; ``atlpa-data check`` finds it
    as long as its pixels are the same.

    Raises:
        UserError: the first of them is named.
    """
    files = not any(isinstance(item.content, np.ndarray) for item in judged)
    content: Callable[[Item], bytes] = Item.fingerprint if files else _picture
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def each(items: Sequence[Item]) -> Iterable[tuple[bytes, Item]]:
            progress = Progress("comparing extra images", len(items), "image")
            return zip(progress.over(pool.map(content, items)), items, strict=True)

        known = dict(each(judged))
        leaks = [(item, known[content]) for content, item in each(extra) if content in known]
    if leaks:
        item, other = leaks[0]
        more = f" (and {len(leaks) - 1} more such images)" if len(leaks) > 1 else ""
        raise UserError(
            f"{item.content} is the same picture as {other.name}, which is not to be trained on{more}; remove it from "
            "data.extra.root"
        )


def _picture(item: Item) -> bytes:
    return picture_digest(item.open())
