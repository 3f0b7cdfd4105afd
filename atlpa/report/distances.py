"""Accuracy against ε, and median distances: a table and a figure from records of distances."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from atlpa.errors import one_line
from atlpa.field_types import written
from atlpa.records import NORM_SIGNS, Distances
from atlpa.report.escape import figure_text
from atlpa.report.legend import COLORS, legend_below
from atlpa.report.networks import network_titles, row_order
from atlpa.report.results import Results
from atlpa.report.section import Section
from atlpa.report.table import Linked, Table
from atlpa.statistics import median, share

USUAL = {"Linf": 8 / 255, "L2": 0.5}
"""At which ε a table gives the accuracy: where most of the field does."""
TOLD = ("name", "epsilon", "norm", "engine", "eot", "fixed_draws", "momentum", "diversity")
"""Settings of an attack that stand elsewhere, or that no curve may have."""
WIDE = 30
"""How many times the smallest ε the largest is where the axis is logarithmic."""


def distances_table(records: Sequence[Distances]) -> Table:
    """A row for each network and attack: its median distance, the quartiles, and what stands at the usual ε."""
    titles = network_titles(records)
    rows = []
    for record in _ordered(records):
        epsilon = min(USUAL[record.norm], record.epsilons[-1])
        ranked, n = sorted(record.bounds), len(record.bounds)
        rows.append(
            (
                titles[record.target.weights],
                _attack(record),
                NORM_SIGNS[record.norm],
                Linked(median(record.bounds), record),
                f"{ranked[-(-n // 4) - 1]:.4g} – {ranked[-(-3 * n // 4) - 1]:.4g}",
                f"{share([record.standing(epsilon)])} at {written(epsilon)}",
                share([record.standing(0)]),
                n,
                f"{record.steps / n:.0f}",
            )
        )
    columns = "network,attack,norm,median distance,quartiles,accuracy %,clean %,n,passes an image"
    return Table(columns.split(","), rows, left=3)


def curve_table(records: Sequence[Distances], epsilons: Sequence[float]) -> Table:
    """Accuracy at some ε, a column for each network, percent with 95 % Wilson intervals."""
    titles, ordered = network_titles(records), _ordered(records)
    names = [titles[one.target.weights] for one in ordered]
    rows = [(written(epsilon), *(share([one.standing(epsilon)]) for one in ordered)) for epsilon in epsilons]
    return Table(("ε", *names), rows, left=0)


def distances_note(records: Sequence[Distances]) -> str:
    """What was measured, on which images, and what it means."""
    kinds = "".join(f"{line}\n" for line in dict.fromkeys(_kind(record) for record in _ordered(records)))
    return (
        f"{kinds}White-box. A distance is that of the nearest image found that fools, an upper bound: 0 of an\n"
        "image that is wrong as it is, inf of one that stands at the largest ε. Medians with 95 % interval from\n"
        "order statistics, percent with 95 % Wilson interval.\n"
    )


def distances_section(results: Results) -> Section | None:
    """Median distances, where there are any."""
    if not results.distances:
        return None
    title = "How far images are from others that fool the network"
    return Section("distances", title, distances_table(results.distances), distances_note(results.distances))


def distance_curves(records: Sequence[Distances]) -> Figure | None:
    """Accuracy against ε, a panel for each norm and a line for each network and attack, with 95 % Wilson bands.

    Returns:
        ``None`` without records.
    """
    if not records:
        return None
    norms = [norm for norm in NORM_SIGNS if any(record.norm == norm for record in records)]
    labels = _labels(records)
    colors = {label: COLORS[place % 8] for place, label in enumerate(dict.fromkeys(labels.values()))}
    styles = {label: ("-", "--", ":")[place // 8 % 3] for place, label in enumerate(colors)}
    figure = Figure(figsize=(4.6 * len(norms), 3.4), layout="constrained")
    handles = {}
    for panel, norm in zip(figure.subplots(1, len(norms), sharey=True, squeeze=False)[0], norms, strict=True):
        own = [record for record in _ordered(records) if record.norm == norm]
        for record in own:
            label = labels[repr(record)]
            handles[label] = _draw(panel, record, colors[label], styles[label])
        low, high = min(r.epsilons[0] for r in own), max(r.epsilons[-1] for r in own)
        panel.set_xscale("log" if high > WIDE * low else "linear")
        panel.set_xlim(low, high)
        panel.set_xlabel(f"ε, largest {NORM_SIGNS[norm]}")
        panel.grid(alpha=0.3, linewidth=0.5)
        panel.spines[["top", "right"]].set_visible(False)
        panel.yaxis.set_major_formatter(PercentFormatter(1))
        panel.set_ylim(-0.02, 1)
    figure.axes[0].set_ylabel("accuracy")
    legend_below(figure, handles)
    return figure


def _draw(panel: Axes, record: Distances, color: str, linestyle: str) -> Artist:
    """One curve over the ε that were asked about, with a dot where it is half of all images."""
    shares = [share([record.standing(epsilon)]) for epsilon in record.epsilons]
    values, low, high = ([getattr(one, name) for one in shares] for name in ("value", "low", "high"))
    (line,) = panel.plot(record.epsilons, values, color=color, linestyle=linestyle, linewidth=1.5)
    panel.fill_between(record.epsilons, low, high, color=color, alpha=0.12, linewidth=0)
    middle = median(record.bounds).value
    if record.epsilons[0] <= middle <= record.epsilons[-1]:
        panel.plot([middle], [0.5], "o", color=color, markersize=5)
    return line


def _labels(records: Sequence[Distances]) -> dict[str, str]:
    """What each record's line is called: its network, with its attack where there are several, and clean accuracy."""
    titles = network_titles(records)
    several = len({_attack(record) for record in records}) > 1
    names = {
        repr(record): titles[record.target.weights] + (f", {_attack(record)}" if several else "")
        for record in _ordered(records)
    }
    clean = {repr(record): f"{100 * share([record.standing(0)]).value:.1f} % clean" for record in records}
    return {key: figure_text(f"{name} ({clean[key]})") for key, name in names.items()}


def _ordered(records: Sequence[Distances]) -> list[Distances]:
    return sorted(records, key=lambda record: (*row_order(record.target), record.norm, _attack(record)))


def _attack(record: Distances) -> str:
    return one_line(str(record.attack["name"]), 60)


def _kind(record: Distances) -> str:
    """The images, and the attack with its settings, but for what is said elsewhere."""
    data, grid = record.data, record.epsilons
    own = {name: value for name, value in record.attack.items() if name not in TOLD}
    told = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in own.items()}
    settings = [one_line(f"{name} {value}", 120) for name, value in told.items()]
    asked = f"{len(grid)} ε from {grid[0]:.3g} to {grid[-1]:.3g} ({record.norm})"
    images = f"{data.count} of {data.available} {data.part} images of {data.dataset} at {data.size}×{data.size}"
    return f"{images}; {asked}, {', '.join([_attack(record), *settings])}."
