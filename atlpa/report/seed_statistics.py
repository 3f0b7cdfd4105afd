"""Defenses that were trained with several seeds: what can be said about them beyond their networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atlpa.records import Evaluation
from atlpa.report.columns import Column, column_of
from atlpa.report.networks import Trained, by_training, network_titles, targets
from atlpa.report.significance import p_text
from atlpa.report.table import Table
from atlpa.statistics import LEVEL, SEVERAL, by_seed, holm, over_seeds, smallest_p

CorrectBySeed = dict[Trained, dict[Column, np.ndarray]]
"""Of each defense, which images ``(seeds, images)`` are right under each attack."""


def seed_statistics(records: Sequence[Evaluation]) -> Table | None:
    """Defenses × attacks: mean over seeds with its 95 % interval over seeds and images, percent.

    Args:
        records: evaluations of one study; the last budget counts.

    Returns:
        ``None`` where no defense has three networks under one attack.
    """
    correct = _correct_by_seed(records)
    columns = _columns(correct)
    rows = [
        (_title(key, found), *(_mean(found[column]) if column in found else "–" for column in columns))
        for key, found in correct.items()
    ]
    return Table(("defense", *map(str, columns)), rows) if rows else None


def defense_differences(records: Sequence[Evaluation], defense: str = "atlpa") -> Table | None:
    """One defense against every other: difference in points with its 95 % interval, and Holm's p within each column.

    No p is said that is smaller than an exact test of so many seeds can give; where that alone is above 0.05, there are
    too few seeds to tell, and the comparison takes no part in Holm's correction.

    Args:
        records: evaluations of one study; the last budget counts.
        defense: which is compared with the others.

    Returns:
        ``None`` without three networks of it and of another defense.
    """
    correct = _correct_by_seed(records)
    own = next((key for key in correct if key.defense == defense), None)
    others = [key for key in correct if own and key != own and key.architecture == own.architecture]
    if own is None or not others:
        return None
    columns = [column for column in _columns(correct) if column in correct[own]]
    rows: dict[Trained, list[str]] = {key: [] for key in others}
    for column in columns:
        ours = correct[own][column]
        theirs = {key: correct[key][column] for key in others if column in correct[key]}
        found = {key: over_seeds(ours, correct) for key, correct in theirs.items()}
        smallest = {key: smallest_p(len(ours), len(correct)) for key, correct in theirs.items()}
        tested = [key for key in found if smallest[key] <= LEVEL]
        corrected = dict(zip(tested, holm([found[key].p for key in tested]), strict=True))
        for key in others:
            p = f"p {p_text(max(corrected[key], smallest[key]))}" if key in corrected else "too few seeds to tell"
            rows[key].append(f"{found[key].points()} ({p})" if key in found else "–")
    titles = (f"{defense} against", *map(str, columns))
    return Table(titles, [(_title(key, correct[key]), *rows[key]) for key in others])


def _correct_by_seed(records: Sequence[Evaluation]) -> CorrectBySeed:
    """Of each defense, which images are right ``(seeds, images)`` under each attack that three of its networks met."""
    titles = network_titles(records)
    found = {(record.target.weights, column_of(record, titles)): record for record in records}
    correct: CorrectBySeed = {}
    for key, networks in by_training(targets(records)).items():
        for attack in sorted({attack for _, attack in found}):
            own = [found[network.weights, attack] for network in networks if (network.weights, attack) in found]
            if len(own) >= SEVERAL and all(record.data == own[0].data for record in own):
                correct.setdefault(key, {})[attack] = by_seed([record.budgets[-1].correct for record in own])
    return correct


def _columns(correct: CorrectBySeed) -> list[Column]:
    return sorted({column for found in correct.values() for column in found})


def _title(key: Trained, found: dict[Column, np.ndarray]) -> str:
    seeds = sorted({len(correct) for correct in found.values()})
    return f"{key}, {' or '.join(map(str, seeds))} seeds"


def _mean(correct: np.ndarray) -> str:
    found = over_seeds(correct)
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
