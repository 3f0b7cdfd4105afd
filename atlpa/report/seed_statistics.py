"""Defenses that were trained with several seeds: what can be said about them beyond their networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from atlpa.records import EvaluatedImages, Evaluation
from atlpa.report.columns import column_of
from atlpa.report.networks import Trained, by_training, network_titles, targets
from atlpa.report.significance import p_text
from atlpa.report.table import Table
from atlpa.statistics import LEVEL, SEVERAL, by_seed, holm, over_seeds, smallest_p

CLEAN = "clean"


class Judged(NamedTuple):
    """What three networks of a defense or more say to the same images: ``correct`` is ``(seeds, images)``."""

    data: EvaluatedImages
    correct: np.ndarray


JudgedBy = dict[Trained, dict[str, Judged]]
"""Of each defense its answers by column: to clean images, and under each attack."""


def seed_statistics(records: Sequence[Evaluation]) -> Table | None:
    """Defenses × clean and attacks: mean over seeds with its 95 % interval over seeds and images, percent.

    Args:
        records: evaluations of one study; the last budget counts.

    Returns:
        ``None`` where no defense has three networks that were judged on the same images.
    """
    judged = _judged_by(records)
    columns = _columns(records, judged)
    rows = [
        (_title(key, found), *(_mean(found[column].correct) if column in found else "–" for column in columns))
        for key, found in judged.items()
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
    judged = _judged_by(records)
    own = next((key for key in judged if key.defense == defense), None)
    others = [key for key in judged if own and key != own and key.architecture == own.architecture]
    if own is None or not others:
        return None
    columns = [column for column in _columns(records, judged) if column in judged[own]]
    rows: dict[Trained, list[str]] = {key: [] for key in others}
    for column in columns:
        data, ours = judged[own][column]
        theirs = {key: judged[key][column].correct for key in others if _on(data, judged[key].get(column))}
        found = {key: over_seeds(ours, correct) for key, correct in theirs.items()}
        smallest = {key: smallest_p(len(ours), len(correct)) for key, correct in theirs.items()}
        tested = [key for key in found if smallest[key] <= LEVEL]
        corrected = dict(zip(tested, holm([found[key].p for key in tested]), strict=True))
        for key in others:
            p = f"p {p_text(max(corrected[key], smallest[key]))}" if key in corrected else "too few seeds to tell"
            rows[key].append(f"{found[key].points()} ({p})" if key in found else "–")
    return Table((f"{defense} against", *columns), [(_title(key, judged[key]), *rows[key]) for key in others])


def _judged_by(records: Sequence[Evaluation]) -> JudgedBy:
    """Defenses that have three networks judged alike; clean on the most images that each was shown."""
    titles = network_titles(records)
    found: dict[tuple[str, str], Evaluation] = {}
    for record in sorted(records, key=lambda record: record.data.count):
        for column in (CLEAN, str(column_of(record, titles))):
            found[record.target.weights, column] = record
    judged: JudgedBy = {}
    for key, networks in by_training(targets(records)).items():
        for column in {column for _, column in found}:
            own = [found[one.weights, column] for one in networks if (one.weights, column) in found]
            if len(own) >= SEVERAL and all(record.data == own[0].data for record in own):
                answers = [record.clean if column == CLEAN else record.budgets[-1].correct for record in own]
                judged.setdefault(key, {})[column] = Judged(own[0].data, by_seed(answers))
    return judged


def _columns(records: Sequence[Evaluation], judged: JudgedBy) -> list[str]:
    """Clean, and attacks in the order of Table 1."""
    titles = network_titles(records)
    every = [CLEAN, *map(str, sorted({column_of(record, titles) for record in records}))]
    return [column for column in every if any(column in own for own in judged.values())]


def _on(data: EvaluatedImages, judged: Judged | None) -> bool:
    """Whether somebody was judged on these images."""
    return judged is not None and judged.data == data


def _title(key: Trained, found: dict[str, Judged]) -> str:
    seeds = sorted({len(judged.correct) for judged in found.values()})
    return f"{key}, {' or '.join(map(str, seeds))} seeds"


def _mean(correct: np.ndarray) -> str:
    found = over_seeds(correct)
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
