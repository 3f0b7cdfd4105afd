"""A report: everything that is drawn from a set of records, as files in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from atlpa.errors import UserError
from atlpa.files import atomic_folder, write_text
from atlpa.report.accuracy import tidy
from atlpa.report.accuracy_curves import accuracy_curves
from atlpa.report.figures import embedding_figure, landscape_figure
from atlpa.report.page import page
from atlpa.report.results import Results
from atlpa.report.sections import sections
from atlpa.report.training import read_log, training_figure


def summary(results: Results) -> str:
    """The tables as Markdown, with what they mean.

    Raises:
        ValueError: two measurements for one cell.
    """
    text = "\n".join(section.markdown() for section in sections(results))
    records = results.measurements
    seeds = ", ".join(str(seed) for seed in sorted({record.target.seed for record in records}))
    machine = records[0].machine
    return f"{text}\nSeed {seeds}; {machine.device}, {machine.threads} thread(s), torch {machine.torch}.\n"


def write_report(results: Results, folder: Path) -> str:
    """Write ``index.html``, ``table.md``, ``table.csv``, each table as LaTeX, and the figures as PNG and SVG.

    Figures that were drawn from pixels (attention*.png) are shown on the page if they lie in the folder already. All of
    it appears when all of it is made; a failure leaves the report that was there.

    Args:
        results: what is on record.
        folder: where to; made if need be.

    Returns:
        The text of ``table.md``.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        with atomic_folder(folder) as scratch:
            return _write(results, folder, scratch)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror})") from error


def _write(results: Results, folder: Path, scratch: Path) -> str:
    """Make a report in a scratch folder that is to lie in another."""
    text = summary(results)
    write_text(scratch / "table.md", text)
    if results.evaluations:
        write_text(scratch / "table.csv", tidy(results.evaluations).csv())
    for section in sections(results):
        write_text(scratch / f"{section.name}.tex", section.table.latex())
    for name, figure in figures(results).items():
        save(figure, scratch / name)
    write_text(scratch / "index.html", page(results, folder, scratch))
    return text


def save_training(logs: Mapping[str, Path], folder: Path) -> None:
    """Write the training curves alone."""
    if figure := training_figure({name: read_log(path) for name, path in logs.items()}):
        with atomic_folder(folder) as scratch:
            save(figure, scratch / "training")


def save(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write a figure as PNG, of some dots per inch, and as SVG."""
    figure.savefig(path.with_name(f"{path.name}.png"), dpi=dpi)
    figure.savefig(path.with_name(f"{path.name}.svg"))


def figures(results: Results) -> dict[str, Figure]:
    """Every figure that the records allow, by its file name."""
    made = {
        "curves": accuracy_curves(results.evaluations) if results.evaluations else None,
        "embedding": embedding_figure(results.analyses),
        "landscape": landscape_figure(results.analyses),
        "training": training_figure({name: read_log(path) for name, path in results.logs.items()}),
    }
    return {name: figure for name, figure in made.items() if figure}
