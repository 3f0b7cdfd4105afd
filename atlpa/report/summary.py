"""A report: everything that is drawn from a set of records, as files in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atlpa.errors import UserError
from atlpa.files import atomic_folder, write_text
from atlpa.report.accuracy import tidy
from atlpa.report.escape import markdown
from atlpa.report.figures import report_figures, save
from atlpa.report.page import page
from atlpa.report.results import Results
from atlpa.report.section import Section
from atlpa.report.tables import sections


def summary(results: Results, tables: Sequence[str] = ()) -> str:
    """The tables as Markdown, with what they mean.

    Args:
        results: what is on record.
        tables: import paths of further tables.

    Raises:
        ValueError: two measurements for one cell.
        UserError: a table of another package fails.
    """
    return _text(results, sections(results, tables))


def write_report(results: Results, folder: Path, tables: Sequence[str] = ()) -> str:
    """Write ``index.html``, ``table.md``, ``table.csv``, each table as LaTeX, and the figures as PNG and SVG.

    Figures that were drawn from pixels (attention*.png) are shown on the page if they lie in the folder already. All of
    it appears when all of it is made; a failure leaves the report that was there.

    Args:
        results: what is on record.
        folder: where to; made if need be.
        tables: import paths of further tables.

    Returns:
        The text of ``table.md``.

    Raises:
        ValueError: two measurements for one cell.
        UserError: the folder cannot be written, or a table of another package fails.
    """
    made = sections(results, tables)
    try:
        with atomic_folder(folder) as scratch:
            _write(results, made, folder, scratch)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror})") from error
    return _text(results, made)


def _text(results: Results, made: Sequence[Section]) -> str:
    text = "\n".join(section.markdown() for section in made)
    records = results.measurements
    seeds = ", ".join(str(seed) for seed in sorted({record.target.seed for record in records}))
    machine = records[0].machine
    where = markdown(f"{machine.device}, {machine.threads} thread(s), torch {machine.torch}.")
    return f"{text}\nSeed {seeds}; {where}\n"


def _write(results: Results, made: Sequence[Section], folder: Path, scratch: Path) -> None:
    """Make a report in a scratch folder that is to lie in another."""
    write_text(scratch / "table.md", _text(results, made))
    if results.evaluations:
        write_text(scratch / "table.csv", tidy(results.evaluations).csv())
    for section in made:
        write_text(scratch / f"{section.name}.tex", section.table.latex())
    figures = {}
    for name, drawn in report_figures(results).items():
        save(drawn.figure, scratch / name)
        figures[scratch / f"{name}.png"] = drawn.title
    write_text(scratch / "index.html", page(results, made, figures, folder))
