"""The figures of a report: one function for each, of everything on record; other packages add theirs by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from atlpa.errors import UserError, reason
from atlpa.files import atomic_folder
from atlpa.registry import Registry
from atlpa.report.accuracy_curves import accuracy_curves
from atlpa.report.analysis_figures import embedding_figure, landscape_figure
from atlpa.report.distances import distance_curves
from atlpa.report.results import Results
from atlpa.report.section import check_name
from atlpa.report.trade_off import trade_off
from atlpa.report.training import training_figure


class ReportFigure(NamedTuple):
    """A figure with its title, a line."""

    title: str
    figure: Figure


FigureOf = Callable[[Results], ReportFigure | None]
"""Draws a figure of what is on record; ``None`` where the records do not allow it."""


def report_figures(results: Results) -> dict[str, ReportFigure]:
    """Every figure that the records allow, by its name, which is that of its file.

    Raises:
        UserError: another package's figure fails, or has a name that no file can have.
    """
    for name in FIGURES:
        check_name("figure", name)
    return {name: figure for name in FIGURES if (figure := _drawn(name, results))}


def _drawn(name: str, results: Results) -> ReportFigure | None:
    """A figure of ours as it is; one of another package with what is wrong with it in one line."""
    figure = FIGURES[name]
    if name in FIGURES.built_in:
        return figure(results)
    try:
        return figure(results)
    except Exception as error:  # of somebody else's code, which may raise anything
        raise UserError(f"figure {name!r} fails: {reason(error)}") from error


def save_figures(results: Results, folder: Path) -> None:
    """Write the figures that the records allow into a folder as PNG and SVG, all or none."""
    if figures := report_figures(results):
        with atomic_folder(folder) as scratch:
            for name, drawn in figures.items():
                save(drawn.figure, scratch / name)


def save(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write a figure as PNG, of some dots per inch, and as SVG; its layout, most of the work, is found once."""
    figure.savefig(path.with_name(f"{path.name}.png"), dpi=dpi)
    figure.set_layout_engine("none")
    figure.savefig(path.with_name(f"{path.name}.svg"))


def _curves(results: Results) -> ReportFigure | None:
    if not results.evaluations:
        return None
    title = "Figure 3: accuracy against PGD iterations, with 95 % bands; of three seeds or more the mean"
    return ReportFigure(title, accuracy_curves(results.evaluations))


def _distances(results: Results) -> ReportFigure | None:
    figure = distance_curves(results.distances)
    title = "Accuracy against ε, white-box, with 95 % Wilson bands; dots mark median distances"
    return ReportFigure(title, figure) if figure else None


def _trade_off(results: Results) -> ReportFigure | None:
    figure = trade_off(results.evaluations)
    title = "Clean against robust: white-box at one ε, by the strongest attack on record, with 95 % intervals"
    return ReportFigure(title, figure) if figure else None


def _embedding(results: Results) -> ReportFigure | None:
    figure = embedding_figure(results.analyses)
    return ReportFigure("Figure 7: t-SNE of the pooled features", figure) if figure else None


def _landscape(results: Results) -> ReportFigure | None:
    figure = landscape_figure(results.analyses)
    title = "Figures 4 and 8: loss around one image, ‖δ‖∞ up to |a| + |b|; one range and color scale for all"
    return ReportFigure(title, figure) if figure else None


def _training(results: Results) -> ReportFigure | None:
    figure = training_figure(results.logs)
    title = (
        "Training: loss terms, accuracy on batches (running means) and validation images, and learning rate; "
        "dotted where a collapse was seen"
    )
    return ReportFigure(title, figure) if figure else None


FIGURES: Registry[FigureOf] = Registry(
    "figure",
    "atlpa.figures",
    {
        "curves": _curves,
        "distances": _distances,
        "trade-off": _trade_off,
        "embedding": _embedding,
        "landscape": _landscape,
        "training": _training,
    },
)
"""Name → what draws the figure; a package announces its own as entry points of the group ``atlpa.figures``."""
