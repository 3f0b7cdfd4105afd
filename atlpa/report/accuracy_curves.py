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
from atlpa.report.networks import Trained, by_training, network_titles, targets, training_title
from atlpa.report.seeds import iterations, measured, together

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
    """One panel for each threat that was measured and ε: a look for each training, 95 % bands, and guessing.

    A line is a network, or the mean of three seeds or more that were judged alike, with its interval over seeds and
    images; where trainings have several seeds, each panel says of how many.

    Args:
        records: evaluations; attacks that have one iterate are no curve, and are shown only where there is no other.
    """
    records = [record for record in records if record.budgets[-1].iterations > 1] or records
    titles, trainings = network_titles(records), by_training(targets(records))
    training_of = {network.weights: trained for trained, networks in trainings.items() for network in networks}
    found: dict[tuple[str, float], dict[Trained, list[Evaluation]]] = {}
    for record in records:
        column = column_of(record, titles)
        own = found.setdefault((column.attack, column.epsilon), {})
        own.setdefault(training_of[record.target.weights], []).append(record)
    epsilons = sorted({epsilon for _, epsilon in found})
    threats = measured_threats(records)
    figure = Figure(figsize=(3.7 * len(threats), 3.1 * len(epsilons)), layout="constrained")
    panels = figure.subplots(len(epsilons), len(threats), sharex=True, sharey=True, squeeze=False)
    several = any(len(networks) > 1 for networks in trainings.values())
    names = {
        trained: figure_text(str(trained) if len(networks) > 1 else training_title(trained, networks))
        for trained, networks in trainings.items()
    }
    guess = 1 / records[0].data.classes
    lines: dict[str, Line2D] = {}
    for row, epsilon in zip(panels, epsilons, strict=True):
        for panel, threat in zip(row, threats, strict=True):
            drawn = found.get((threat, epsilon), {})
            for number, (trained, name) in enumerate(names.items()):
                if trained in drawn:
                    look = Look(COLORS[number % 8], MARKERS[number % 8], "-" if number < 8 else "--")
                    lines[name] = _draw(panel, drawn[trained], name, look)
            said = _seeds(drawn) if several and drawn else "" if drawn else "not measured"
            panel.text(0.97, 0.95, said, transform=panel.transAxes, ha="right", va="top", color="gray", fontsize=8)
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
    legend_below(figure, {name: lines[name] for name in (*names.values(), GUESSING)})
    return figure


def _seeds(drawn: Mapping[Trained, Sequence[Evaluation]]) -> str:
    """Of how many seeds the lines of a panel speak."""
    counts = sorted({len({record.target.weights for record in group}) for group in drawn.values()})
    if len(counts) > 1:
        return f"{counts[0]} to {counts[-1]} seeds"
    return "1 seed" if counts == [1] else f"{counts[0]} seeds"


def _draw(panel: Axes, group: Sequence[Evaluation], name: str, look: Look) -> Line2D:
    """A training's curves, the last of which is given back; 0 iterations are the clean images."""
    for seeds in together(group):
        steps = [0, *iterations(seeds[0])]
        answers = [[record.clean, *(budget.correct for budget in record.budgets)] for record in seeds]
        shares = [measured(correct) for correct in zip(*answers, strict=True)]
        values, low, high = ([one.value for one in shares], [one.low for one in shares], [one.high for one in shares])
        (line,) = panel.plot(steps, values, label=name, markersize=4, linewidth=1.5, **look._asdict())
        panel.fill_between(steps, low, high, color=look.color, alpha=0.08, linewidth=0)
    return line
