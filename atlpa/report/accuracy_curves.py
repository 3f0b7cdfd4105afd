"""Accuracy against iterations, as in the paper's Figure 3, with the white-box curves beside the transfer curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from atlpa.field_types import written
from atlpa.records import Evaluation
from atlpa.report.accuracy import measured_threats
from atlpa.report.columns import column_of
from atlpa.report.escape import figure_text
from atlpa.report.legend import COLORS, MARKERS, legend_below
from atlpa.report.networks import by_training, network_titles, targets, training_title
from atlpa.statistics import of_networks

TITLES = {
    "white": "white-box: the network itself",
    "gray": "gray-box: undefended, same architecture",
    "surrogate": "surrogate: same defense, another seed",
    "black": "black-box: undefended, another architecture",
}
GUESSING = "guessing"


class Look(NamedTuple):
    """How the lines of a training's networks are told from others."""

    color: str
    marker: str
    linestyle: str


def accuracy_curves(records: Sequence[Evaluation]) -> Figure:
    """One panel for each threat that was measured and ε: a line for each training, 95 % bands, and guessing.

    With three seeds the line is their mean and the band its interval over seeds and images; with fewer each network has
    a line, with Wilson's interval.

    Args:
        records: evaluations on the same images; attacks that have one iterate are no curve, and are shown only where
            there is no other.
    """
    records = [record for record in records if record.budgets[-1].iterations > 1] or records
    titles, trainings = network_titles(records), by_training(targets(records))
    looks = {
        trained: Look(COLORS[place % 8], MARKERS[place % 8], "-" if place < 8 else "--")
        for place, trained in enumerate(trainings)
    }
    guess = 1 / records[0].data.classes
    epsilons = sorted({record.attack["epsilon"] for record in records})
    threats = measured_threats(records)
    figure = Figure(figsize=(3.7 * len(threats), 3.1 * len(epsilons)), layout="constrained")
    panels = figure.subplots(len(epsilons), len(threats), sharex=True, sharey=True, squeeze=False)
    at = {(threat, epsilon): panels[y, x] for y, epsilon in enumerate(epsilons) for x, threat in enumerate(threats)}
    lines: dict[str, Line2D] = {}
    for trained, networks in trainings.items():
        name = training_title(trained, networks)
        weights = {network.weights for network in networks}
        for place, panel in at.items():
            if own := [r for r in records if r.target.weights in weights and _place(r, titles) == place]:
                lines[figure_text(name)] = _draw(panel, own, figure_text(name), looks[trained])
    for row, epsilon in zip(panels, epsilons, strict=True):
        for panel in row:
            if not panel.has_data():
                panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center", color="gray")
            lines[GUESSING] = panel.axhline(guess, label=GUESSING, color="gray", linestyle=":", linewidth=1.2)
            panel.grid(alpha=0.3, linewidth=0.5)
            panel.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(f"accuracy at ε = {written(epsilon)}")
        row[0].yaxis.set_major_formatter(PercentFormatter(1))
        row[0].set_ylim(-0.02, 1)
    for panel, threat in zip(panels[0], threats, strict=True):
        panel.set_title(figure_text(TITLES.get(threat, threat)), fontsize=10)
    for panel in panels[-1]:
        panel.set_xlabel("PGD iterations")
    legend_below(figure, lines)
    return figure


def _place(record: Evaluation, titles: Mapping[str, str]) -> tuple[str, float]:
    """Threat and ε of the panel that an evaluation belongs to."""
    column = column_of(record, titles)
    return column.attack, column.epsilon


def _draw(panel: Axes, group: Sequence[Evaluation], name: str, look: Look) -> Line2D:
    """A training's curves, the last of which is given back; 0 iterations are the clean images."""
    iterations = [(0, *(budget.iterations for budget in record.budgets)) for record in group]
    once = len({record.target.weights for record in group}) == len(group)
    for own in [group] if once and len(set(iterations)) == 1 else [[record] for record in group]:
        answers = [[record.clean, *(budget.correct for budget in record.budgets)] for record in own]
        steps = iterations[group.index(own[0])]
        for shares in zip(*map(of_networks, zip(*answers, strict=True)), strict=True):
            values, low, high = ([s.value for s in shares], [s.low for s in shares], [s.high for s in shares])
            (line,) = panel.plot(steps, values, label=name, markersize=4, linewidth=1.5, **look._asdict())
            panel.fill_between(steps, low, high, color=look.color, alpha=0.08, linewidth=0)
    return line
