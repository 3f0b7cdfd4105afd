"""Training curves from the logs of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from atlpa.records.log import Line, collapse_step
from atlpa.report.escape import figure_text
from atlpa.report.legend import COLORS, MARKERS, legend_below

WINDOW = 15
"""Lines of the log in a running mean: batches are small, so that single lines say little."""

FEW = 25
"""Points that are marked one by one, since a line through one of them shows nothing."""


class Panel(NamedTuple):
    """What is drawn against iterations.

    Fields:
        label: of its axis.
        curves: where a line of the log has the value, by the style of its curve.
        window: lines in a running mean.
    """

    label: str
    curves: Mapping[str, tuple[str, ...]]
    window: int = 1


def training_figure(logs: Mapping[str, Sequence[Line]]) -> Figure | None:
    """Terms of the loss, accuracy on batches and on the validation part, and learning rate against iterations.

    A dotted line stands where a collapse was seen.

    Args:
        logs: the lines of each run's ``log.jsonl``, by the network's name.

    Returns:
        ``None`` where there is no line.
    """
    logs = {figure_text(title): lines for title, lines in logs.items() if lines}
    if not logs:
        return None
    panels = _panels([line for lines in logs.values() for line in lines])
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4 * columns, 2.8 * rows), layout="constrained")
    frames = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in frames[len(panels) :]:
        unused.set_axis_off()
    handles = {}
    for number, (title, lines) in enumerate(logs.items()):
        style: dict[str, Any] = {"color": COLORS[number % 8], "marker": MARKERS[number // 8] if number >= 8 else ""}
        handles[title] = Line2D([], [], **style)
        for frame, panel in zip(frames, panels, strict=False):
            for linestyle, place in panel.curves.items():
                _draw(frame, lines, place, panel.window, linestyle=linestyle, **style)
            if step := collapse_step(lines):
                frame.axvline(step, color=style["color"], linestyle=":", linewidth=1, label="collapse")
    for frame, panel in zip(frames, panels, strict=False):
        frame.set_ylabel(panel.label)
        frame.set_xlabel("iteration")
        frame.set_title("— clean, - - adversarial" if len(panel.curves) > 1 else "", fontsize=9)
        frame.grid(alpha=0.3, linewidth=0.5)
        frame.spines[["top", "right"]].set_visible(False)
        if panel.label == "learning rate":
            frame.set_yscale("log")
    legend_below(figure, handles)
    return figure


def _panels(lines: Sequence[Line]) -> list[Panel]:
    """Those that some line of the logs has a value for."""
    terms = sorted({term for line in lines for term in (line.get("terms") or {})})
    batches = {"-": ("clean_accuracy",), "--": ("adversarial_accuracy",)}
    validation = {style: ("validation", *place) for style, place in batches.items()}
    wanted = [
        *(Panel(f"{figure_text(term.replace('_', ' '))}, weighted", {"-": ("terms", term)}, WINDOW) for term in terms),
        Panel("accuracy on batches", batches, WINDOW),
        Panel("accuracy on validation part", validation),
        Panel("learning rate", {"-": ("learning_rate",)}),
    ]
    return [
        panel
        for panel in wanted
        if any(_value(line, place) is not None for place in panel.curves.values() for line in lines)
    ]


def _value(line: Line, place: Sequence[str]) -> float | None:
    """What a line of the log has at a place; steps and evaluations of the validation part are lines of their own."""
    found: Any = line
    for name in place:
        found = (found or {}).get(name)
    return None if found is None else float(found)


def _draw(frame: Axes, lines: Sequence[Line], place: Sequence[str], window: int, *, marker: str, **style: Any) -> None:
    """A running mean, over a quarter of the curve at most, of the lines that have a value."""
    points = [(line["step"], found) for line in lines if (found := _value(line, place)) is not None]
    if points:
        steps, values = map(np.array, zip(*points, strict=True))
        width = max(1, min(window, len(values) // 4))
        means = np.convolve(values, np.ones(width) / width, mode="valid")
        few = len(means) <= FEW
        frame.plot(
            steps[width - 1 :],
            means,
            marker=marker or ("o" if few else ""),
            markersize=3.5,
            markevery=1 if few else len(means) // 8,
            linewidth=1.3,
            **style,
        )
