"""Training curves from the logs of runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from atlpa.report.curves import COLORS

WINDOW = 15
"""Lines of the log in a running mean: batches are small, so that single lines say little."""

Line = Mapping[str, Any]


def training_figure(logs: Mapping[str, Sequence[Line]]) -> Figure | None:
    """Terms of the loss, accuracy on clean and adversarial training images, and learning rate against iterations.

    Args:
        logs: the lines of each run's ``log.jsonl``, by the network's name.

    Returns:
        ``None`` where there is no line.
    """
    logs = {title: lines for title, lines in logs.items() if lines}
    if not logs:
        return None
    terms = sorted({term for lines in logs.values() for line in lines for term in line.get("terms", {})})
    columns = min(3, len(terms) + 2)
    lines_of_panels = -(-(len(terms) + 2) // columns)
    figure = Figure(figsize=(4 * columns, 2.8 * lines_of_panels + 0.5), layout="constrained")
    frames = list(figure.subplots(lines_of_panels, columns, squeeze=False).flat)
    panels = frames[: len(terms) + 2]
    for unused in frames[len(panels) :]:
        unused.set_axis_off()
    for number, lines in enumerate(logs.values()):
        look = {"color": COLORS[number % 8], "linewidth": 1.3}
        for panel, term in zip(panels, terms, strict=False):
            _draw(panel, lines, lambda line, term=term: line.get("terms", {}).get(term), **look)  # type: ignore[misc]
        _draw(panels[-2], lines, lambda line: line.get("clean_accuracy"), linestyle="-", **look)
        _draw(panels[-2], lines, lambda line: line.get("adversarial_accuracy"), linestyle="--", **look)
        panels[-1].plot([line["step"] for line in lines], [line["learning_rate"] for line in lines], **look)
    labels = [f"{term.replace('_', ' ')}, weighted" for term in terms]
    labels += ["accuracy: — clean, - - adversarial", "learning rate"]
    for panel, label in zip(panels, labels, strict=True):
        panel.set_ylabel(label)
        panel.set_xlabel("iteration")
        panel.grid(alpha=0.3, linewidth=0.5)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_yscale("log")
    handles = [Line2D([], [], color=COLORS[number % 8], label=title) for number, title in enumerate(logs)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), frameon=False)
    return figure


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a training log; none where there is no log."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue  # cut short by a crash
    return lines


def _draw(panel: Axes, lines: Sequence[Line], value: Callable[[Line], float | None], **look: Any) -> None:
    """A running mean over the lines that have a value."""
    points = [(line["step"], found) for line in lines if (found := value(line)) is not None]
    if points:
        steps, values = map(np.array, zip(*points, strict=True))
        width = min(WINDOW, len(values))
        panel.plot(steps[width - 1 :], np.convolve(values, np.ones(width) / width, mode="valid"), **look)
