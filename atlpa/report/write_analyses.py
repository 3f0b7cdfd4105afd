"""Tables and figures of analyses in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atlpa.errors import UserError
from atlpa.files import write_text
from atlpa.records import Analysis
from atlpa.report.analyses import embedding_table, landscape_table, regions_table
from atlpa.report.figures import embedding_figure, landscape_figure
from atlpa.report.training import training_figure


def analyses_text(records: Sequence[Analysis]) -> str:
    """The tables as Markdown, with what they mean."""
    text = ""
    if table := regions_table(records):
        text += (
            "Table 2: mean normalized conv5_x activation inside key regions, and inside − outside, with 95 % intervals\n"
            f"over the images that have a mask; [the paper's].\n\n{table.markdown()}\n"
        )
    if table := embedding_table(records):
        text += (
            "Table 3: silhouette of t-SNE of the pooled features, mean ± deviation over its seeds, and of the raw\n"
            f"features; [the paper's].\n\n{table.markdown()}\n"
        )
    if table := landscape_table(records):
        text += f"Figures 4 and 8: range of the loss surfaces, in nats.\n\n{table.markdown()}\n"
    return text


def write_analyses(records: Sequence[Analysis], folder: Path, logs: Mapping[str, Path] = {}) -> str:
    """Write ``analysis.md`` and the figures as PNG and SVG; returns the text of the former.

    Args:
        records: of one data set.
        folder: where to.
        logs: ``log.jsonl`` of each run, by the network's name, for the training curves.

    Raises:
        UserError: the folder cannot be written.
    """
    text = analyses_text(records)
    figures = {
        "embedding": embedding_figure(records),
        "landscape": landscape_figure(records),
        "training": training_figure({title: read_log(path) for title, path in logs.items()}),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if text:
            write_text(folder / "analysis.md", text)
        for title, figure in figures.items():
            if figure:
                figure.savefig(folder / f"{title}.png", dpi=150)
                figure.savefig(folder / f"{title}.svg")
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror})") from error
    return text


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a training log; none where there is no log."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue  # cut short by a crash
    return lines
