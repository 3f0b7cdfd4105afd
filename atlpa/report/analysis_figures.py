"""Figures 4, 7 and 8, from records alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from atlpa.records import Analysis, Embedding, Landscape
from atlpa.report.analyses import condition, condition_order, landscape_reach
from atlpa.report.escape import figure_text
from atlpa.report.legend import COLORS, MARKERS, legend_below
from atlpa.report.networks import network_titles, row_order, targets

BESIDE = 5
"""How many networks' landscapes stand beside each other; further ones stand below."""


def embedding_figure(records: Sequence[Analysis]) -> Figure | None:
    """Fig. 7: t-SNE of the pooled features, a row for each network, a column for what it was shown."""
    found = [record for record in records if isinstance(record, Embedding)]
    if not found:
        return None
    networks, titles = targets(found), network_titles(found)
    conditions = sorted({condition(r.seen): r.seen for r in found}.items(), key=lambda item: condition_order(item[1]))
    classes = found[0].classes
    figure = Figure(figsize=(2.5 * len(conditions) + 0.4, 2.5 * len(networks) + 0.3), layout="constrained")
    panels = figure.subplots(len(networks), len(conditions), squeeze=False)
    for row, network in zip(panels, networks, strict=True):
        for panel, (title, _) in zip(row, conditions, strict=True):
            panel.set(xticks=[], yticks=[])
            own = [r for r in found if r.target.weights == network.weights and condition(r.seen) == title]
            for record in own:
                points, labels = np.array(record.points), np.array(record.labels)
                for label in range(len(classes)):
                    of_class = points[labels == label]
                    panel.scatter(*of_class.T, s=9, linewidths=0, **_style(label))
                panel.set_xlabel(f"silhouette {np.mean(record.silhouettes):+.2f}", fontsize=8)
        row[0].set_ylabel(figure_text(titles[network.weights]), fontsize=9)
    for panel, (title, _) in zip(panels[0], conditions, strict=True):
        panel.set_title(title, fontsize=10)
    dots = {
        figure_text(name): Line2D([], [], linestyle="", markersize=5, **_style(label))
        for label, name in enumerate(classes)
    }
    legend_below(figure, dots, fontsize=8)
    return figure


def _style(label: int) -> dict[str, Any]:
    """Color and shape tell classes apart, so that neither has to alone."""
    return {"color": COLORS[label % 8], "marker": MARKERS[(label // 8 + label) % 8]}


def landscape_figure(records: Sequence[Analysis], image: int = 0) -> Figure | None:
    """Fig. 4 and 8: the loss around one image, as surface and contour, with one range and color scale for all networks.

    Args:
        records: of which the landscapes are drawn.
        image: which of their images.
    """
    found = sorted((r for r in records if isinstance(r, Landscape)), key=lambda r: row_order(r.target))
    if not found:
        return None
    grids, titles = [np.array(record.losses[image]) for record in found], network_titles(found)
    low, high = min(grid.min() for grid in grids), max(grid.max() for grid in grids)
    columns, rows = min(len(found), BESIDE), 2 * math.ceil(len(found) / BESIDE)
    figure = Figure(figsize=(2.7 * columns + 0.9, 2.7 * rows), layout="constrained")
    places, flat = figure.add_gridspec(rows, columns), []
    for number, (record, grid) in enumerate(zip(found, grids, strict=True)):
        row, column = 2 * (number // BESIDE), number % BESIDE
        steps = np.array(record.steps)
        across, along = np.meshgrid(steps, steps)  # columns are b, rows a
        surface: Any = figure.add_subplot(places[row, column], projection="3d")
        surface.plot_surface(along, across, grid, cmap="cividis", vmin=low, vmax=high, linewidth=0, antialiased=True)
        if high > low:
            surface.set_zlim(low, high)
        title = figure_text(titles[record.target.weights])
        surface.set_title(f"{title}\nrange {grid.max() - grid.min():.1f}", fontsize=9)
        surface.tick_params(labelsize=6, pad=-2)
        panel = figure.add_subplot(places[row + 1, column])
        levels = MaxNLocator(20).tick_values(low, high) if high > low else 5
        drawn = panel.contourf(steps, steps, grid.T, levels=levels, cmap="cividis", vmin=low, vmax=high)
        panel.plot(0, 0, "w+", markersize=7)
        panel.set_aspect("equal")
        panel.set_xlabel("a · sign of the gradient", fontsize=8)
        panel.tick_params(labelsize=7)
        if not column:
            panel.set_ylabel("b · random signs", fontsize=8)
        flat.append(panel)
    figure.supxlabel(landscape_reach(found), fontsize=8)
    figure.colorbar(drawn, ax=flat, label="cross-entropy (nats)", shrink=0.9, aspect=10 * rows)
    return figure
