"""A table as text: aligned Markdown, which reads well in a terminal too, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Column titles and rows of cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def markdown(self) -> str:
        """GitHub's Markdown; the first column to the left, the others to the right."""
        cells = [[str(cell) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(3, *(len(row[number]) for row in cells)) for number in range(len(self.columns))]
        first = widths[0]
        rule = ["-" * first, *("-" * (width - 1) + ":" for width in widths[1:])]
        lines = [
            [row[0].ljust(first), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))] for row in cells
        ]
        return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], rule, *lines[1:]))

    def csv(self) -> str:
        """Comma-separated, with a header."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()
