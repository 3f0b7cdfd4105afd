"""Clean against robust accuracy, one mark for each defense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from atlpa.field_types import written
from atlpa.records import Evaluation
from atlpa.report.escape import figure_text
from atlpa.report.legend import COLORS, MARKERS, legend_below
from atlpa.report.networks import by_training, training_title
from atlpa.report.seeds import measured, together
from atlpa.report.strongest import beat_guessing, left, strongest
from atlpa.statistics import share


def trade_off(records: Sequence[Evaluation]) -> Figure | None:
    """Robust accuracy against clean accuracy.

    Robust is white-box under the attack that leaves the network least, at the smallest ε of those at which the most
    networks were judged. With three seeds a defense's cross is the interval over seeds and images, beside small marks
    of its networks; with fewer each network has a cross of its own, the 95 % Wilson intervals.

    Returns:
        ``None`` with fewer than two networks, or where none keeps more than guessing does.
    """
    shown = strongest(records)
    if len(shown) < 2 or not beat_guessing(shown):
        return None
    epsilon = shown[0].attack["epsilon"]
    of = {record.target.weights: record for record in shown}
    groups = {
        training_title(trained, networks): [of[network.weights] for network in networks]
        for trained, networks in by_training([record.target for record in shown]).items()
    }
    figure = Figure(figsize=(5.4, 4.2), layout="constrained")
    panel = figure.subplots()
    handles: dict[str, Artist] = {}
    for place, (title, group) in enumerate(groups.items()):
        look: dict[str, Any] = {"color": COLORS[place % 8], "marker": MARKERS[place // 8 % 8]}
        handles[figure_text(title)] = _draw(panel, group, look)
    names = {str(record.attack["name"]) for record in shown}
    panel.set_ylabel(f"white-box at ε = {written(epsilon)}, {figure_text(' or '.join(sorted(names)))}")
    panel.set_xlabel("clean accuracy")
    panel.xaxis.set_major_formatter(PercentFormatter(1))
    panel.yaxis.set_major_formatter(PercentFormatter(1))
    panel.grid(alpha=0.3, linewidth=0.5)
    panel.spines[["top", "right"]].set_visible(False)
    legend_below(figure, handles)
    return figure


def _draw(panel: Axes, group: Sequence[Evaluation], look: Mapping[str, Any]) -> Artist:
    """One defense: a cross for all its seeds with its networks beside it, or one for each network."""
    for seeds in together(group):
        x, y = measured([one.clean for one in seeds]), measured([one.budgets[-1].correct for one in seeds])
        height, width = [[y.value - y.low], [y.high - y.value]], [[x.value - x.low], [x.high - x.value]]
        marks = panel.errorbar(x.value, y.value, yerr=height, xerr=width, markersize=6, linewidth=1, **look)
        if len(seeds) > 1:
            each = [share(record.clean).value for record in seeds]
            panel.scatter(each, [left(record) for record in seeds], s=9, alpha=0.5, linewidths=0, **look)
    return cast(Artist, marks.lines[0])
