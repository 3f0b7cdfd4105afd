"""White-box at one ε: of each network the attack that leaves it least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from atlpa.records import Evaluation
from atlpa.report.networks import row_order
from atlpa.statistics import share


def strongest(records: Iterable[Evaluation]) -> list[Evaluation]:
    """One white-box evaluation for each network, all at one ε in one norm (L∞ where there is one), ordered as Table 1.

    The smallest of those at which the most networks were judged: few say nothing of the others.

    Args:
        records: evaluations; their last budgets count.
    """
    white = [record for record in records if record.threat == "white"]
    white = [record for record in white if record.norm == "Linf"] or white
    judged = Counter(epsilon for _, epsilon in {(record.target.weights, record.attack["epsilon"]) for record in white})
    least = min((epsilon for epsilon, count in judged.items() if count == max(judged.values())), default=None)
    found: dict[str, Evaluation] = {}
    for record in white:
        before = found.get(record.target.weights)
        if record.attack["epsilon"] == least and (before is None or left(record) < left(before)):
            found[record.target.weights] = record
    return sorted(found.values(), key=lambda record: row_order(record.target))


def left(record: Evaluation) -> float:
    """The share of images that stand at the last budget."""
    return share(record.budgets[-1].correct).value


def beat_guessing(records: Sequence[Evaluation]) -> bool:
    """Whether any network keeps more than a guess is right in."""
    return any(left(record) > 1 / record.data.classes for record in records)
