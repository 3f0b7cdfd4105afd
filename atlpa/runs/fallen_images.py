"""Images that fell while a robust accuracy was checked, kept so that anyone can look at them or show them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from atlpa.data import Item
from atlpa.evaluation.checks import Standing
from atlpa.files import atomic_file


def keep_fallen(path: Path, items: Sequence[Item], standing: Standing) -> None:
    """Write a file that ``numpy.load`` reads, with one row for each image that fell to an attack.

    It holds ``adversarial`` float32 ``(n, 3, S, S)`` in [0, 1], exactly as they fooled the network; and ``image``,
    ``label`` and ``felled_by`` ``(n,)``, what each was made of, its true class, and what felled it.

    Args:
        path: the file.
        items: the images that were judged.
        standing: what came of them.

    Raises:
        UserError: there is no room.
    """
    fell = [place for place, name in enumerate(standing.felled_by) if name]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        np.savez(
            file,
            adversarial=standing.adversarial[torch.tensor(fell, dtype=torch.long)].cpu().numpy(),
            image=np.array([items[place].name for place in fell], dtype=str),
            label=np.array([items[place].label for place in fell], dtype=np.int64),
            felled_by=np.array([standing.felled_by[place] for place in fell], dtype=str),
        )
