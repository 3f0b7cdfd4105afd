"""Questions about the paper's terms, as differences between trainings on the same images: in docs/results.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from atlpa.report import Table
from scripts.answers import answers, difference

COLUMNS = ("clean", "gray 0.25", "black 0.25", "white (ensemble) 8/255")

QUESTIONS: Mapping[str, Sequence[tuple[str, str]]] = {
    "tolerant logit beyond smoothing": [
        ("flowers-small-first/atlpa_no_attention", "flowers-small-first/pat_smooth"),
        ("flowers-small/atlpa_no_attention", "flowers-small/pat_smooth"),
        ("flowers-race/tolerant_logit", "flowers-race/smoothing"),
    ],
    "attention beyond ALP": [
        ("flowers-small-first/atlpa", "flowers-small-first/alp"),
        ("flowers-small/atlpa", "flowers-small/alp"),
        ("flowers-small-seed-1/atlpa", "flowers-small-seed-1/alp"),
        ("cars-small/atlpa", "cars-small/alp"),
        ("flowers-race/tolerant_logit_and_attention", "flowers-race/logit_pairing"),
    ],
    "attention beyond the tolerant logit": [
        ("flowers-small-first/atlpa", "flowers-small-first/atlpa_no_attention"),
        ("flowers-small/atlpa", "flowers-small/atlpa_no_attention"),
        ("flowers-small-seed-1/atlpa", "flowers-small-seed-1/atlpa_no_attention"),
        ("cars-small/atlpa", "cars-small/atlpa_no_attention"),
        ("flowers-race/tolerant_logit_and_attention", "flowers-race/tolerant_logit"),
    ],
    "ALP beyond the tolerant logit": [
        ("flowers-small-first/alp", "flowers-small-first/atlpa_no_attention"),
        ("flowers-small/alp", "flowers-small/atlpa_no_attention"),
        ("flowers-small-seed-1/alp", "flowers-small-seed-1/atlpa_no_attention"),
        ("cars-small/alp", "cars-small/atlpa_no_attention"),
        ("flowers-race/logit_pairing", "flowers-race/tolerant_logit"),
    ],
    "the whole gain over PAT": [
        ("flowers-small-first/atlpa", "flowers-small-first/pat"),
        ("flowers-small/atlpa", "flowers-small/pat"),
        ("flowers-small-seed-1/atlpa", "flowers-small-seed-1/pat"),
        ("cars-small/atlpa", "cars-small/pat"),
    ],
    "the same row, trained again": [
        (f"flowers-small/{row}", f"flowers-small-first/{row}") for row in ("pat", "alp", "atlpa_no_attention", "atlpa")
    ],
    "against no defense": [
        (f"flowers-small/{row}", "flowers-small/none")
        for row in ("pat", "alp", "atlpa_no_attention", "atlpa", "recipe", "n_fgsm")
    ],
}
"""Question → pairs of trainings, each as a folder of docs/results and a defense's name in it."""


def questions(folder: Path) -> Table:
    """How far the first of every pair that is on record lies above its second, in points, with 95 % intervals.

    The intervals are over images, and over seeds too in a study where some trainings have several, as which all vary.

    Args:
        folder: of the studies' records.
    """

    of_study = cache(lambda study: answers(folder / study))

    def of(row: str) -> Mapping[str, np.ndarray]:
        study, _, defense = row.partition("/")
        return of_study(study).get(defense, {})  # type: ignore[no-any-return]

    def alike(first: str, second: str, column: str) -> list[np.ndarray]:
        study, other = (row.partition("/")[0] for row in (first, second))
        return [columns[column] for columns in of_study(study).values() if column in columns] if study == other else []

    rows = []
    for question, pairs in QUESTIONS.items():
        for first, second in pairs:
            found = [
                difference(of(first).get(column), of(second).get(column), alike(first, second, column))
                for column in COLUMNS
            ]
            if any(found):
                rows.append((question, first, second, *(one.points() if one else "–" for one in found)))
    return Table(("question", "training", "minus", *COLUMNS), rows, left=3)
