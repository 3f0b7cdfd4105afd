"""How many networks are told apart in one figure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.artist import Artist
from matplotlib.figure import Figure

# Okabe and Ito's colors, which color-blind readers can tell apart.
COLORS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2", "#F0E442")
MARKERS = "os^Dv<>P"

MOST_ROWS = 8
"""Of a legend before the figure is widened for it."""


def legend_below(figure: Figure, handles: Mapping[str, Artist], **options: object) -> None:
    """A legend under all panels, in as many columns as fit, or in a few rows; the figure grows as it needs.

    Args:
        figure: with a constrained layout.
        handles: label → what it stands for.
        options: further options of the legend.
    """
    fewest = max(1, math.ceil(len(handles) / MOST_ROWS))
    for columns in range(len(handles), fewest - 1, -1):
        legend = figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=columns, frameon=False, **options
        )
        extent = legend.get_window_extent()
        if columns == fewest or extent.width <= figure.bbox.width:
            width, height = figure.get_size_inches()
            figure.set_size_inches(max(width, extent.width / figure.dpi), height + extent.height / figure.dpi)
            return
        legend.remove()
