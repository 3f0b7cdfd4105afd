"""Clean against robust accuracy, one mark for each defense, and what each training took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from atlpa.records import Evaluation, Network, Training
from atlpa.report.escape import figure_text
from atlpa.report.legend import COLORS, MARKERS, legend_below
from atlpa.report.strongest import beat_guessing, left, strongest
from atlpa.statistics import SEVERAL, by_seed, over_seeds, share


class Mean(NamedTuple):
    """An accuracy of a defense: of its only network, or over its seeds.

    Fields:
        value: a share.
        low: lower end of the 95 % interval.
        high: upper end.
    """

    value: float
    low: float
    high: float


def trade_off(records: Sequence[Evaluation], trainings: Sequence[Training] = ()) -> Figure | None:
    """Robust accuracy against clean accuracy, and against minutes of training where they are known.

    Robust is white-box at the smallest ε on record, under the attack that leaves the network least. With three seeds a
    defense's cross is the interval over seeds and images, beside small marks of its networks; with fewer each network
    has a cross of its own, the 95 % Wilson intervals.

    Returns:
        ``None`` with fewer than two networks, or where none keeps more than guessing does.
    """
    shown = strongest(records)
    if len(shown) < 2 or not beat_guessing(shown):
        return None
    epsilon = shown[0].attack["epsilon"]
    minutes = {training.network.weights: training.seconds / 60 for training in trainings}
    groups: dict[str, list[Evaluation]] = {}
    for record in shown:
        groups.setdefault(_title(record.target), []).append(record)
    timed = [minutes[record.target.weights] for record in shown if record.target.weights in minutes]
    figure = Figure(figsize=(9 if timed else 4.8, 4.2), layout="constrained")
    panels = figure.subplots(1, 1 + bool(timed), sharey=True, squeeze=False)[0]
    handles: dict[str, Artist] = {}
    for place, (title, group) in enumerate(groups.items()):
        look: dict[str, Any] = {"color": COLORS[place % 8], "marker": MARKERS[place // 8 % 8]}
        handles[figure_text(title)] = _draw(panels[0], group, look)
        if timed:
            _draw(panels[1], [record for record in group if record.target.weights in minutes], look, minutes)
    names = {str(record.attack["name"]) for record in shown}
    panels[0].set_ylabel(f"white-box at ε = {epsilon:.4g}, {figure_text(' or '.join(sorted(names)))}")
    panels[0].set_xlabel("clean accuracy")
    panels[0].xaxis.set_major_formatter(PercentFormatter(1))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    if timed:
        panels[1].set_xlabel("minutes of training, on the machine of each")
        panels[1].set_xlim(0, 1.08 * max(timed))
    for panel in panels:
        panel.grid(alpha=0.3, linewidth=0.5)
        panel.spines[["top", "right"]].set_visible(False)
    legend_below(figure, handles)
    return figure


def _title(network: Network) -> str:
    return " ".join(filter(None, (network.defense, network.architecture, network.checkpoint)))


def _draw(
    panel: Axes, group: Sequence[Evaluation], look: Mapping[str, Any], minutes: Mapping[str, float] | None = None
) -> Artist:
    """One defense: a cross for all its seeds with its networks beside it, or one for each network."""
    clean, robust = _means([record.clean for record in group]), _means([r.budgets[-1].correct for r in group])
    times = [minutes[record.target.weights] for record in group] if minutes else []
    together = len(clean) < len(group)
    for place, (x, y) in enumerate(zip(clean, robust, strict=True)):
        error = [[y.value - y.low], [y.high - y.value]]
        if minutes:
            at = float(np.mean(times)) if together else times[place]
            marks = panel.errorbar(at, y.value, yerr=error, markersize=6, linewidth=1, **look)
        else:
            width = [[x.value - x.low], [x.high - x.value]]
            marks = panel.errorbar(x.value, y.value, yerr=error, xerr=width, markersize=6, linewidth=1, **look)
    if together:
        xs = times if minutes else [share(record.clean).value for record in group]
        panel.scatter(xs, [left(record) for record in group], s=9, alpha=0.5, linewidths=0, **look)
    return cast(Artist, marks.lines[0])


def _means(correct: Sequence[tuple[str, ...]]) -> list[Mean]:
    """Over the seeds, if there are enough; else of each network."""
    if len(correct) >= SEVERAL and len({len(one[0]) for one in correct}) == 1:
        found = over_seeds(by_seed(correct))
        return [Mean(found.value, found.low, found.high)]
    return [Mean(one.value, one.low, one.high) for one in map(share, correct)]
