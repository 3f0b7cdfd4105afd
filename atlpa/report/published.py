"""The paper's published numbers."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

PublishedCell = tuple[str, str, str, float]
"""Data set, defense, threat and ε."""


@cache
def published(table: int) -> Mapping[PublishedCell, float]:
    """A table of the paper.

    Args:
        table: 1: percent right after 200 iterations with step 1/256, gray- and black-box; 2: normalized activation
            inside key regions; 3: silhouette of the t-SNE embedding.
    """
    text = (files("atlpa.report") / f"paper_table{table}.csv").read_text(encoding="utf-8")
    return {
        (row["dataset"], row["defense"], row["threat"], float(row["epsilon"])): float(row["value"])
        for row in csv.DictReader(text.splitlines())
    }
