"""Defenses that were trained with several seeds: what can be said about them beyond their networks."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np

from atlpa.records import Evaluation
from atlpa.report.columns import column_of
from atlpa.report.networks import Trained, by_training, network_titles, targets
from atlpa.report.significance import p_text
from atlpa.report.table import Table
from atlpa.statistics import LEVEL, SEVERAL, by_seed, holm, over_seeds, smallest_p

CorrectBySeed = dict[Trained, dict[str, np.ndarray]]
"""Of each defense, which images ``(seeds, images)`` are right clean and under each attack."""


def seed_statistics(records: Sequence[Evaluation]) -> Table | None:
    """Defenses × clean and attacks: mean over seeds with its 95 % interval over seeds and images, percent.

    Args:
        records: evaluations of one study; the last budget counts.

    Returns:
        ``None`` where no defense has three networks.
    """
    columns, correct = _correct_by_seed(records)
    rows = [
        (_title(key, found), *(_mean(found[column]) if column in found else "–" for column in columns))
        for key, found in correct.items()
    ]
    return Table(("defense", *columns), rows) if rows else None


def defense_differences(records: Sequence[Evaluation], defense: str = "atlpa") -> Table | None:
    """One defense against every other, clean and attacked: points with their 95 % interval, Holm's p in each column.

    No p is said that is smaller than an exact test of so many seeds can give; where that alone is above 0.05, there are
    too few seeds to tell, and the comparison takes no part in Holm's correction.

    Args:
        records: evaluations of one study; the last budget counts.
        defense: which is compared with the others.

    Returns:
        ``None`` without three networks of it and of another defense.
    """
    every, correct = _correct_by_seed(records)
    own = next((key for key in correct if key.defense == defense), None)
    others = [key for key in correct if own and key != own and key.architecture == own.architecture]
    if own is None or not others:
        return None
    columns = [column for column in every if column in correct[own]]
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
    return Table((f"{defense} against", *columns), [(_title(key, correct[key]), *rows[key]) for key in others])


def _correct_by_seed(records: Sequence[Evaluation]) -> tuple[list[str], CorrectBySeed]:
    """Which images are right of each defense with three networks; and the columns: clean, and attacks in order."""
    titles = network_titles(records)
    found: dict[str, dict[str, Evaluation]] = {"clean": {record.target.weights: record for record in records}}
    for attack, record in sorted(((column_of(one, titles), one) for one in records), key=itemgetter(0)):
        found.setdefault(str(attack), {})[record.target.weights] = record
    correct: CorrectBySeed = {}
    for key, networks in by_training(targets(records)).items():
        for column, judged in found.items():
            own = [judged[network.weights] for network in networks if network.weights in judged]
            if len(own) >= SEVERAL and all(record.data == own[0].data for record in own):
                answers = [record.clean if column == "clean" else record.budgets[-1].correct for record in own]
                correct.setdefault(key, {})[column] = by_seed(answers)
    return [column for column in found if any(column in own for own in correct.values())], correct


def _title(key: Trained, found: dict[str, np.ndarray]) -> str:
    seeds = sorted({len(correct) for correct in found.values()})
    return f"{key}, {' or '.join(map(str, seeds))} seeds"


def _mean(correct: np.ndarray) -> str:
    found = over_seeds(correct)
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
