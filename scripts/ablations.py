"""What the paper leaves open, each value against the default: ``python -m scripts.ablations`` draws the figure.

The rows are those of configs/studies/flowers-ablations.yaml, each against the preset that it changes. The table in
docs/results.md is drawn with the page's others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml
from matplotlib.figure import Figure

from atlpa.report import Table
from scripts.answers import answers, difference
from scripts.race import show_difference, show_zero

ROOT = Path(__file__).parents[1]
STUDY = "flowers-ablations"
RESULTS = ROOT / "docs" / "results" / STUDY
COLUMNS = ("clean", "white 8/255", "gray 0.25")

Answers = Mapping[str, Mapping[str, np.ndarray]]


def bases() -> dict[str, str]:
    """Row → the preset that it changes, which is a row as well; in the study's order."""
    study = yaml.safe_load((ROOT / "configs" / "studies" / f"{STUDY}.yaml").read_text())
    rows = [{"preset": row} if isinstance(row, str) else row for row in study["defenses"]]
    return {row["name"]: row["preset"] for row in rows if "name" in row}


def ablations(of: Answers) -> Table:
    """Every row on record, below the one that it changes: its accuracies, their harmonic mean, and the differences."""
    based = bases()
    rows = []
    for base in dict.fromkeys(based.values()):
        for row in (base, *(name for name in based if based[name] == base)):
            if row in of:
                found = [difference(of[row].get(column), of[base].get(column)) for column in COLUMNS]
                against = [one.points() if one and row != base else "–" for one in found]
                shares = [f"{100 * of[row][column].mean():.1f}" for column in COLUMNS]
                rows.append((row, *shares, _both(of[row]), *against))
    return Table(("training", *COLUMNS, "harmonic mean", *(f"{column} above preset" for column in COLUMNS)), rows)


def _both(columns: Mapping[str, np.ndarray]) -> str:
    """Of clean and gray-box accuracy, by which the values were chosen."""
    clean, gray = columns["clean"].mean(), columns["gray 0.25"].mean()
    return f"{200 * clean * gray / (clean + gray):.1f}" if gray else "0.0"


def figure(of: Answers) -> Figure:
    """How far each row lies above the one that it changes, with 95 % intervals over images."""
    based = {row: base for row, base in bases().items() if row in of and base in of}
    drawn = Figure(figsize=(9, 0.9 + 0.25 * len(based)), layout="constrained")
    panels = drawn.subplots(1, len(COLUMNS), sharey=True)
    for panel, column in zip(panels, COLUMNS, strict=True):
        for place, (row, base) in enumerate(based.items()):
            found = difference(of[row].get(column), of[base].get(column))
            if found:
                show_difference(panel, place, *found[:3])
        show_zero(panel, f"{column}: points")
    panels[0].set_yticks(range(len(based)), [f"{row} − {base}" for row, base in based.items()])
    panels[0].invert_yaxis()
    return drawn


if __name__ == "__main__":
    figure(answers(RESULTS)).savefig(RESULTS / "ablations.png", dpi=150)
