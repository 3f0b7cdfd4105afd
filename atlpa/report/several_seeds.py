"""Defenses that were trained with several seeds: what can be said about them beyond their networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atlpa.records import Evaluation, Network, Threat
from atlpa.report.accuracy import THREATS, targets
from atlpa.report.significance import p_text
from atlpa.report.table import Table
from atlpa.statistics import SEVERAL, bootstrap, by_seed, holm

Defense = tuple[str, str]
"""A defense's name, and the architecture."""
Column = tuple[Threat, float]
"""A threat and ε."""
Cells = dict[Defense, dict[Column, np.ndarray]]


def several_seeds(records: Sequence[Evaluation]) -> Table | None:
    """Defenses × attacks: mean over seeds with the 95 % bootstrap interval over seeds and images, percent.

    Args:
        records: evaluations of one study; the last budget counts.

    Returns:
        ``None`` where no defense has three networks under one attack.
    """
    cells = _cells(records)
    columns = _columns(cells)
    rows = [
        (_title(key, found), *(_interval(found[column]) if column in found else "–" for column in columns))
        for key, found in cells.items()
    ]
    return Table(("defense", *(f"{threat} {epsilon:.4g}" for threat, epsilon in columns)), rows) if rows else None


def defense_differences(records: Sequence[Evaluation], defense: str = "atlpa") -> Table | None:
    """One defense against every other: difference in points with its 95 % interval, and Holm's p within each column.

    Args:
        records: evaluations of one study; the last budget counts.
        defense: which is compared with the others.

    Returns:
        ``None`` without three networks of it and of another defense.
    """
    cells = _cells(records)
    own = next((key for key in cells if key[0] == defense), None)
    others = [key for key in cells if own and key != own and key[1] == own[1]]
    if own is None or not others:
        return None
    columns = [column for column in _columns(cells) if column in cells[own]]
    rows: dict[Defense, list[str]] = {key: [] for key in others}
    for column in columns:
        compared = [key for key in others if column in cells[key]]
        found = {key: bootstrap(cells[own][column], cells[key][column]) for key in compared}
        corrected = dict(zip(compared, holm([found[key][3] for key in compared]), strict=True))
        for key in others:
            if key not in found:
                rows[key].append("–")
                continue
            mean, low, high, _ = (100 * value for value in found[key])
            rows[key].append(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}] (p {p_text(corrected[key])})")
    titles = (f"{defense} against", *(f"{threat} {epsilon:.4g}" for threat, epsilon in columns))
    return Table(titles, [(_title(key, cells[key]), *rows[key]) for key in others])


def _cells(records: Sequence[Evaluation]) -> Cells:
    """Of each defense, the verdicts ``(seeds, images)`` under each attack that three of its networks met."""
    order: dict[Defense, list[Network]] = {}
    for network in targets(records):
        order.setdefault((network.defense, network.architecture), []).append(network)
    found = {(r.target.weights, r.threat, r.attack["epsilon"]): r for r in records}
    attacks = sorted({(threat, epsilon) for _, threat, epsilon in found}, key=_column_order)
    cells: Cells = {}
    for key, networks in order.items():
        for column in attacks:
            own = [found[n.weights, *column] for n in networks if (n.weights, *column) in found]
            if len(own) >= SEVERAL and all(record.data == own[0].data for record in own):
                cells.setdefault(key, {})[column] = by_seed([record.budgets[-1].correct for record in own])
    return cells


def _columns(cells: Cells) -> list[Column]:
    return sorted({column for found in cells.values() for column in found}, key=_column_order)


def _column_order(column: Column) -> tuple[int, float]:
    return THREATS.index(column[0]), column[1]


def _title(key: Defense, found: dict[Column, np.ndarray]) -> str:
    seeds = sorted({len(verdicts) for verdicts in found.values()})
    return f"{key[0]} {key[1]}, {' or '.join(map(str, seeds))} seeds"


def _interval(verdicts: np.ndarray) -> str:
    mean, low, high, _ = (100 * value for value in bootstrap(verdicts))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
