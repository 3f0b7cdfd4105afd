"""A table as text: aligned Markdown, which reads well in a terminal too, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Column titles and rows of cells; so many columns, from the first, hold words and are set to the left."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    left: int = 1

    def markdown(self) -> str:
        """GitHub's Markdown, aligned: words to the left, numbers to the right."""
        cells = [[str(cell) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(3, *(len(row[number]) for row in cells)) for number in range(len(self.columns))]
        rule = ["-" * w if number < self.left else "-" * (w - 1) + ":" for number, w in enumerate(widths)]
        lines = [
            [
                cell.ljust(w) if number < self.left else cell.rjust(w)
                for number, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            for row in cells
        ]
        return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], rule, *lines[1:]))

    def csv(self) -> str:
        """Comma-separated, with a header."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()
