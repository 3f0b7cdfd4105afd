"""A table as text: aligned Markdown, which reads well in a terminal too, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from atlpa.records import Record
from atlpa.report.escape import csv_cell, latex, markdown_cell


@dataclass(frozen=True)
class Linked:
    """A cell, and the record that it was read from."""

    value: object
    record: Record

    def __str__(self) -> str:
        """The cell as text."""
        return str(self.value)


@dataclass(frozen=True)
class Table:
    """Column titles and rows of cells; so many columns, from the first, hold words and are set to the left."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    left: int = 1

    def markdown(self) -> str:
        """GitHub's Markdown, aligned: words to the left, numbers to the right."""
        cells = [[markdown_cell(cell) for cell in row] for row in (self.columns, *self.rows)]
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

    def latex(self) -> str:
        """LaTeX for the package booktabs."""

        def line(cells: Sequence[object]) -> str:
            text = " & ".join(map(latex, cells))
            # Else the end of the line before would take it for an argument.
            guard = "{}" if text.startswith(("[", "*")) else ""
            return f"{guard}{text} \\\\\n"

        columns = "l" * self.left + "r" * (len(self.columns) - self.left)
        body = "".join(map(line, self.rows))
        return (
            f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{line(self.columns)}\\midrule\n{body}"
            "\\bottomrule\n\\end{tabular}\n"
        )

    def csv(self) -> str:
        """Comma-separated, with a header."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows(map(csv_cell, row) for row in (self.columns, *self.rows))
        return text.getvalue()
