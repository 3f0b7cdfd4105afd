"""Trainings against each other, in docs/results.md under "A network that stands".

``python -m scripts.race`` draws its figures from the committed records; the table is drawn with the page's others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from atlpa.attacks import Cost
from atlpa.component import validate
from atlpa.defenses import Defense
from atlpa.records import Training
from atlpa.report import Results, Table, collect
from atlpa.report.legend import COLORS
from atlpa.report.networks import by_training
from atlpa.report.strongest import strongest
from atlpa.statistics import Estimate, by_seed, over_seeds
from atlpa.training import Recipe

STUDIES = ("flowers-race", "flowers-race-today")
RESULTS = Path(__file__).parents[1] / "docs" / "results"


class Row(NamedTuple):
    """A training with all of its seeds.

    Fields:
        clean: which images are right, ``(seeds, images)``.
        left: which stand white-box under the strongest attack at the smallest ε.
        passes: of an image in one training, forwards and backwards counted as pairs; ``None`` where the images decide.
    """

    clean: np.ndarray
    left: np.ndarray
    passes: float | None


clean_of, left_of = attrgetter("clean"), attrgetter("left")


def trainings(results: Results) -> dict[str, Row]:
    """The trainings of some studies, the most robust first, by the defense's name where that tells them apart."""
    judged = {record.target.weights: record for record in strongest(results.evaluations)}
    groups = by_training(record.target for record in judged.values())
    names = [trained.defense for trained in groups]
    passes = {weights: _passes(training) for training in results.trainings for weights in _weights(training)}
    rows = {}
    for trained, networks in groups.items():
        records = [judged[network.weights] for network in networks]
        rows[trained.defense if names.count(trained.defense) == 1 else str(trained)] = Row(
            by_seed([record.clean for record in records]),
            by_seed([record.budgets[-1].correct for record in records]),
            passes.get(networks[0].weights),
        )
    return dict(sorted(rows.items(), key=lambda item: -item[1].left.mean()))


def _weights(training: Training) -> list[str]:
    """Of the networks that a training left: the last, and the best where it selects."""
    return [training.network.weights, *([training.selected.weights] if training.selected else [])]


def _passes(training: Training) -> float | None:
    recipe = validate(Recipe, training.experiment["training"])
    return passes_of(recipe, validate(Defense, training.experiment["defense"]))


def passes_of(recipe: Recipe, defense: Defense) -> float | None:
    """Of an image in one training, forwards and backwards counted as pairs; ``None`` where the images decide."""
    cost = defense.cost(recipe.attack)
    return recipe.iterations * recipe.batch_size * pairs(cost) if cost else None


def pairs(cost: Cost) -> float:
    """Passes of an image, one forwards and one backwards."""
    return (cost.forwards + cost.backwards) / 2


def above(base: str, rows: Mapping[str, Row]) -> Table:
    """How far each training lies above another, with 95 % intervals over seeds and images.

    A training with one seed is taken to vary with its seed as those with several do; where none has several, there is
    no interval.
    """
    lines = [
        (
            name,
            len(row.left),
            f"{row.passes / 1000:.0f}" if row.passes else "–",
            f"{100 * row.clean.mean():.1f}",
            f"{100 * row.left.mean():.1f}",
            *("–" if name == base else _points(_above(base, name, rows, of)) for of in (clean_of, left_of)),
        )
        for name, row in rows.items()
    ]
    columns = ("training", "seeds", "passes, thousands", "clean", "left")
    return Table((*columns, f"clean above {base}", f"left above {base}"), lines)


def _above(base: str, name: str, rows: Mapping[str, Row], of: Callable[[Row], np.ndarray]) -> Estimate | float:
    """With its interval, where one can be given."""
    ours, theirs, every = of(rows[name]), of(rows[base]), [of(row) for row in rows.values()]
    if max(map(len, every)) == 1:
        return float(ours.mean() - theirs.mean())
    return over_seeds(ours, theirs, every)


def _points(found: Estimate | float) -> str:
    return f"{100 * found:+.1f}" if isinstance(found, float) else found.points()


def parts_figure(base: str, rows: Mapping[str, Row], minutes: Mapping[str, float]) -> Figure:
    """How far every training lies above another, attacked and clean, with 95 % intervals; and what each costs.

    Args:
        base: the other.
        rows: the trainings.
        minutes: of a processor, of one training each, where that was measured.
    """
    others = [name for name in rows if name != base][::-1]
    figure = Figure(figsize=(9.5, 0.9 + 0.27 * len(others)), layout="constrained")
    *panels, cost = figure.subplots(1, 3, sharey=True, width_ratios=(3, 3, 2))
    for panel, of, title in zip(panels, (left_of, clean_of), ("under attack", "clean"), strict=True):
        for place, name in enumerate(others):
            found = _above(base, name, rows, of)
            value, low, high = (found,) * 3 if isinstance(found, float) else found[:3]
            show_difference(panel, place, value, low, high, size=6 if len(rows[name].left) > 1 else 4)
        show_zero(panel, f"{title}: points above {base}")
    cost.barh(
        [place for place, name in enumerate(others) if name in minutes],
        [minutes[name] for name in others if name in minutes],
        color=COLORS[2],
        height=0.5,
    )
    if base in minutes:
        cost.axvline(minutes[base], color="0.4", linewidth=0.8)
    _plain(cost, "processor time, minutes")
    cost.set_yticks(range(len(others)), [f"{name} ({len(rows[name].left)})" for name in others])
    return figure


def show_difference(panel: Axes, place: int, value: float, low: float, high: float, size: float = 4) -> None:
    """A difference of shares in points, with its interval: red where that lies below zero, green above."""
    shade = COLORS[2] if low <= 0 <= high else COLORS[3] if low > 0 else COLORS[4]
    error = [[100 * (value - low)], [100 * (high - value)]]
    panel.errorbar(100 * value, place, xerr=error, fmt="o", color=shade, markersize=size, linewidth=1.4)


def show_zero(panel: Axes, label: str) -> None:
    """The line that differences are read against."""
    panel.axvline(0, color="0.4", linewidth=0.8)
    _plain(panel, label)


def _plain(panel: Axes, label: str) -> None:
    panel.set_xlabel(label)
    panel.grid(axis="x", alpha=0.3, linewidth=0.5)
    panel.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    timed = json.loads((RESULTS / STUDIES[0] / "seconds.json").read_text())["rows"]
    rows = trainings(collect([RESULTS / study for study in STUDIES]))
    minutes = {name: timed[name]["minutes"] for name in rows if name in timed}
    parts_figure("recipe", rows, minutes).savefig(RESULTS / STUDIES[0] / "parts.png", dpi=150)
