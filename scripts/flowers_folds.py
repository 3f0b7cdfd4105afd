"""Flowers-17's training and validation parts as six folds: what settings are chosen on, never the test part.

    python scripts/flowers_folds.py DATA folds

DATA holds flowers17/jpg/ and flowers17/datasplits.mat. ``folds/K/test`` gets links to a sixth of the 1020 photographs,
each class alike, and ``folds/K/train`` to the others: a data set of the kind ``folder``, K from 0 to 5, that trains on
850 photographs, nearly as many as networks that are judged on the test part. docs/results/flowers-race-folds holds what
came of it: each run's folder has the experiment, with ``data.root: folds/K``.
"""

import sys
from pathlib import Path

from atlpa.data.dataset import stratified_split
from atlpa.data.flowers17 import Flowers17

FOLDS = 6


def main(data: Path, out: Path) -> None:
    """Lay the links."""
    index = Flowers17(split=1, root=str(data)).index()
    items = index.items("train", "validation")
    for fold, group in enumerate(stratified_split([item.label for item in items], FOLDS * (1 / FOLDS,), seed=0)):
        held_out = set(group)
        for place, item in enumerate(items):
            folder = out / str(fold) / ("test" if place in held_out else "train") / f"{item.label:02}"
            folder.mkdir(parents=True, exist_ok=True)
            file = Path(str(item.content)).resolve()
            (folder / file.name).symlink_to(file)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {__doc__.splitlines()[2].strip()}")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
