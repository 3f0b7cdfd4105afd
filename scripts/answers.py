"""Which images the networks of a study have right, by defense and column; and how far some lie above others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from atlpa.report import collect
from atlpa.report.columns import column_of
from atlpa.report.networks import network_titles
from atlpa.statistics import Estimate, by_seed, over_images, over_seeds


def answers(study: Path, architecture: str = "resnet18") -> Mapping[str, Mapping[str, np.ndarray]]:
    """Defense → column → which images ``(seeds, images)`` its networks have right; nothing where no study is."""
    found: dict[str, dict[str, dict[str, Sequence[str]]]] = {}
    records = collect([study]).evaluations if study.is_dir() else []
    titles = network_titles(records)
    for record in records:
        if record.target.architecture == architecture:
            columns = found.setdefault(record.target.defense, {})
            columns.setdefault("clean", {})[record.target.weights] = record.clean
            last = record.budgets[-1].correct
            columns.setdefault(str(column_of(record, titles)), {})[record.target.weights] = last
    return {
        defense: {column: by_seed(list(networks.values())) for column, networks in columns.items()}
        for defense, columns in found.items()
    }


def difference(
    first: np.ndarray | None, second: np.ndarray | None, alike: Sequence[np.ndarray] = ()
) -> Estimate | None:
    """How far the first lie above the second: over seeds too where some of those that vary alike have several."""
    if first is None or second is None:
        return None
    several = any(len(answers) > 1 for answers in alike)
    return over_seeds(first, second, alike) if several else over_images(first, second)
