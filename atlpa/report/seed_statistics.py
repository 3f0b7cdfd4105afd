"""Trainings with several seeds: what can be said about them beyond their networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from atlpa.records import EvaluatedImages, Evaluation
from atlpa.report.columns import column_of
from atlpa.report.networks import Trained, by_training, network_titles, targets, training_title
from atlpa.report.significance import p_text
from atlpa.report.table import Table
from atlpa.statistics import LEVEL, SEVERAL, by_seed, holm, over_images, over_seeds, share, smallest_p

CLEAN = "clean"


class Judged(NamedTuple):
    """What networks of one training answered for the same images, and which: a record's answers of each network."""

    data: EvaluatedImages
    answers: Sequence[Sequence[str]]

    @property
    def correct(self) -> np.ndarray:
        """The same as ``(seeds, images)``, shares of the draws."""
        return by_seed(self.answers)

    def accuracy(self, of: int) -> str:
        """Percent with its interval: over seeds and images of three networks or more, over images alone of fewer.

        Args:
            of: how many networks the training has; that fewer were judged is said.
        """
        count = len(self.answers)
        if count == 1:
            text = str(share(self.answers[0]))
        else:
            found = over_seeds(self.correct) if count >= SEVERAL else over_images(self.correct)
            text = f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
        return text if count == of else f"{text} ({count} of {of})"


JudgedBy = dict[Trained, dict[str, Judged]]
"""Of each training its answers by column: to clean images, and under each attack."""


def seed_statistics(records: Sequence[Evaluation]) -> Table | None:
    """Trainings × clean and attacks, percent: Table 1 with the networks of a training as one.

    Args:
        records: evaluations of one study; the last budget counts.

    Returns:
        ``None`` where no training has three networks that were judged on the same images.
    """
    judged = _judged_by(records)
    if not any(_several(found) for found in judged.values()):
        return None
    columns = _columns(records, judged)
    rows = [
        (
            training_title(key, networks),
            *(judged[key][column].accuracy(len(networks)) if column in judged[key] else "–" for column in columns),
        )
        for key, networks in by_training(targets(records)).items()
    ]
    return Table(("defense", *columns), rows)


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
    judged = {key: several for key, found in _judged_by(records).items() if (several := _several(found))}
    own = next((key for key in judged if key.defense == defense), None)
    others = [key for key in judged if own and key != own and key.architecture == own.architecture]
    if own is None or not others:
        return None
    columns = [column for column in _columns(records, judged) if column in judged[own]]
    rows: dict[Trained, list[str]] = {key: [] for key in others}
    for column in columns:
        data, ours = judged[own][column].data, judged[own][column].correct
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
    """What each training's networks answered, where all saw the same images; clean on the most that each was shown."""
    titles = network_titles(records)
    found: dict[tuple[str, str], Evaluation] = {}
    for record in sorted(records, key=lambda record: record.data.count):
        for column in (CLEAN, str(column_of(record, titles))):
            found[record.target.weights, column] = record
    judged: JudgedBy = {}
    for key, networks in by_training(targets(records)).items():
        judged[key] = {}
        for column in {column for _, column in found}:
            own = [found[one.weights, column] for one in networks if (one.weights, column) in found]
            if own and all(record.data == own[0].data for record in own):
                answers = [record.clean if column == CLEAN else record.budgets[-1].correct for record in own]
                judged[key][column] = Judged(own[0].data, answers)
    return judged


def _several(found: dict[str, Judged]) -> dict[str, Judged]:
    """The columns that three networks or more speak of."""
    return {column: judged for column, judged in found.items() if len(judged.answers) >= SEVERAL}


def _columns(records: Sequence[Evaluation], judged: JudgedBy) -> list[str]:
    """Clean, and attacks in the order of Table 1."""
    titles = network_titles(records)
    every = [CLEAN, *map(str, sorted({column_of(record, titles) for record in records}))]
    return [column for column in every if any(column in own for own in judged.values())]


def _on(data: EvaluatedImages, judged: Judged | None) -> bool:
    """Whether somebody was judged on these images."""
    return judged is not None and judged.data == data


def _title(key: Trained, found: dict[str, Judged]) -> str:
    seeds = sorted({len(judged.answers) for judged in found.values()})
    return f"{key}, {' or '.join(map(str, seeds))} seeds"
