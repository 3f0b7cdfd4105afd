"""Accuracy against iterations, as in the paper's Figure 3, with the white-box curves beside the transfer curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from atlpa.field_types import written
from atlpa.records import Evaluation
from atlpa.report.accuracy import measured_threats
from atlpa.report.columns import column_of
from atlpa.report.escape import figure_text
from atlpa.report.legend import COLORS, MARKERS, legend_below
from atlpa.report.networks import network_titles, targets
from atlpa.statistics import share

TITLES = {
    "white": "white-box: the network itself",
    "gray": "gray-box: undefended, same architecture",
    "surrogate": "surrogate: same defense, another seed",
    "black": "black-box: undefended, another architecture",
}
GUESSING = "guessing"


class LineStyle(NamedTuple):
    """How a network's line is told from the others."""

    color: str
    marker: str
    linestyle: str


def accuracy_curves(records: Sequence[Evaluation]) -> Figure:
    """One panel for each threat that was measured and ε: a line for each network, 95 % Wilson bands, and guessing.

    Args:
        records: evaluations on the same images; attacks that have one iterate are no curve, and are shown only where
            there is no other.
    """
    records = [record for record in records if record.budgets[-1].iterations > 1] or records
    networks, titles = targets(records), network_titles(records)
    names = {weights: figure_text(title) for weights, title in titles.items()}
    styles = {
        network.weights: LineStyle(COLORS[place % 8], MARKERS[place % 8], "-" if place < 8 else "--")
        for place, network in enumerate(networks)
    }
    guess = 1 / records[0].data.classes
    epsilons = sorted({record.attack["epsilon"] for record in records})
    threats = measured_threats(records)
    figure = Figure(figsize=(3.7 * len(threats), 3.1 * len(epsilons)), layout="constrained")
    panels = figure.subplots(len(epsilons), len(threats), sharex=True, sharey=True, squeeze=False)
    for row, epsilon in zip(panels, epsilons, strict=True):
        for panel, threat in zip(row, threats, strict=True):
            for record in records:
                column = column_of(record, titles)
                if (column.attack, column.epsilon) == (threat, epsilon):
                    weights = record.target.weights
                    _draw(panel, record, names[weights], styles[weights])
            if not panel.has_data():
                panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center", color="gray")
            panel.axhline(guess, label=GUESSING, color="gray", linestyle=":", linewidth=1.2)
            panel.grid(alpha=0.3, linewidth=0.5)
            panel.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(f"accuracy at ε = {written(epsilon)}")
        row[0].yaxis.set_major_formatter(PercentFormatter(1))
        row[0].set_ylim(-0.02, 1)
    for panel, threat in zip(panels[0], threats, strict=True):
        panel.set_title(figure_text(TITLES.get(threat, threat)), fontsize=10)
    for panel in panels[-1]:
        panel.set_xlabel("PGD iterations")
    lines = {line.get_label(): line for panel in panels.flat for line in panel.get_lines()}
    labels = [name for network in networks if (name := names[network.weights]) in lines] + [GUESSING]
    legend_below(figure, {label: lines[label] for label in labels})
    return figure


def _draw(panel: Axes, record: Evaluation, title: str, style: LineStyle) -> None:
    """One network's curve; 0 iterations are the clean images."""
    shares = [share(record.clean), *(share(budget.correct) for budget in record.budgets)]
    iterations = [0, *(budget.iterations for budget in record.budgets)]
    values, low, high = ([s.value for s in shares], [s.low for s in shares], [s.high for s in shares])
    panel.plot(iterations, values, label=title, markersize=4, linewidth=1.5, **style._asdict())
    panel.fill_between(iterations, low, high, color=style.color, alpha=0.08, linewidth=0)
