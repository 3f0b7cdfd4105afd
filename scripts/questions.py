"""Questions about the paper's terms, as differences between trainings on the same images: in docs/results.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from atlpa.report import Table
from atlpa.report.networks import ROWS
from scripts.answers import answers, difference

OTHERS = ("trades", "mart", "pat_smooth", "recipe", "n_fgsm")
"""Rows of flowers-small that the paper does not have."""

COLUMNS = ("clean", "gray 0.25", "black 0.25", "white (ensemble) 8/255")

QUESTIONS: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "tolerant logit beyond smoothing": [
        ("flowers-small-first", "atlpa_no_attention", "pat_smooth"),
        ("flowers-small", "atlpa_no_attention", "pat_smooth"),
        ("flowers-race", "tolerant_logit", "smoothing"),
    ],
    "smoothing beyond PAT": [
        ("flowers-small-first", "pat_smooth", "pat"),
        ("flowers-small", "pat_smooth", "pat"),
    ],
    "all of ATLPA beyond smoothing": [
        ("flowers-small-first", "atlpa", "pat_smooth"),
        ("flowers-small", "atlpa", "pat_smooth"),
    ],
    "attention beyond ALP": [
        ("flowers-small-first", "atlpa", "alp"),
        ("flowers-small", "atlpa", "alp"),
        ("cars-small", "atlpa", "alp"),
        ("flowers-race", "tolerant_logit_and_attention", "logit_pairing"),
    ],
    "attention beyond the tolerant logit": [
        ("flowers-small-first", "atlpa", "atlpa_no_attention"),
        ("flowers-small", "atlpa", "atlpa_no_attention"),
        ("cars-small", "atlpa", "atlpa_no_attention"),
        ("flowers-race", "tolerant_logit_and_attention", "tolerant_logit"),
    ],
    "ALP beyond the tolerant logit": [
        ("flowers-small-first", "alp", "atlpa_no_attention"),
        ("flowers-small", "alp", "atlpa_no_attention"),
        ("cars-small", "alp", "atlpa_no_attention"),
        ("flowers-race", "logit_pairing", "tolerant_logit"),
    ],
    "the whole gain over PAT": [
        ("flowers-small-first", "atlpa", "pat"),
        ("flowers-small", "atlpa", "pat"),
        ("cars-small", "atlpa", "pat"),
    ],
    "against no defense": [("flowers-small", row, "none") for row in (*ROWS[1:], *OTHERS)],
}
"""Question → a study's folder in docs/results, and two of its trainings."""


def questions(folder: Path) -> Table:
    """How far the first of every pair that is on record lies above its second, in points, with 95 % intervals.

    The intervals are over images, and over seeds too in columns where some trainings of the study have several, as
    which all vary.

    Args:
        folder: of the studies' records.
    """
    of_study = cache(lambda study: answers(folder / study))
    rows = []
    for question, pairs in QUESTIONS.items():
        for study, first, second in pairs:
            trained = of_study(study)
            found = [
                difference(
                    trained.get(first, {}).get(column),
                    trained.get(second, {}).get(column),
                    [columns[column] for columns in trained.values() if column in columns],
                )
                for column in COLUMNS
            ]
            if any(found):
                rows.append((question, study, first, second, *(one.points() if one else "–" for one in found)))
    return Table(("question", "study", "training", "minus", *COLUMNS), rows, left=4)
