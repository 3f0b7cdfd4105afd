"""BMW-10 in its published layout, with annotations that are written here."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

FIELDS = ["fname", "class", "bbox_x1", "bbox_x2", "bbox_y1", "bbox_y2", "height", "width"]


def annotate(base, rows, train, test):
    """Write ``bmw10_annos.mat`` as published: a 1×N struct array, N×1 indices that count from 1."""
    annotations = np.zeros((1, len(rows)), dtype=[(name, object) for name in FIELDS])
    for number, row in enumerate(rows):
        annotations[0, number] = row
    train_indices, test_indices = (np.array(numbers, np.uint16)[:, None] for numbers in (train, test))
    content = {"annos": annotations, "train_indices": train_indices, "test_indices": test_indices}
    savemat(base / "bmw10_annos.mat", content)


def release_photographs(data_root: Path, root: Path) -> list[tuple]:
    """The 151 real photographs below ``root``, every third for testing, a box on the left half of each.

    Returns:
        The annotations' rows.
    """
    photographs = data_root / "bmw10" / "bmw10_ims"
    files = sorted(photographs.rglob("*.*"))
    base = root / "bmw10_release"
    base.mkdir()
    (base / "bmw10_ims").symlink_to(photographs.absolute())
    classes = {name: number for number, name in enumerate(sorted({file.parent.name for file in files}), 1)}
    rows = []
    for file in files:
        with Image.open(file) as picture:
            width, height = picture.size
        rows.append(
            (f"{file.parent.name}/{file.name}", classes[file.parent.name], 1, width // 2, 1, height, height, width)
        )
    numbers = range(1, len(files) + 1)
    annotate(base, rows, [n for n in numbers if n % 3], [n for n in numbers if n % 3 == 0])
    return rows
