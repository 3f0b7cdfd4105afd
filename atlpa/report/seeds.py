"""Which evaluations of a training's seeds can be taken together, and what they say then."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.records import Evaluation
from atlpa.statistics import SEVERAL, Estimate, Share, by_seed, over_seeds, share


def together(group: Sequence[Evaluation]) -> list[Sequence[Evaluation]]:
    """All as one, where three networks or more were judged once each, on the same images at the same iterations.

    Elsewhere each stands for itself.

    Args:
        group: evaluations of one training's networks.
    """
    first = group[0]
    alike = all(record.data == first.data and iterations(record) == iterations(first) for record in group)
    once = len({record.target.weights for record in group}) == len(group)
    return [group] if len(group) >= SEVERAL and alike and once else [[record] for record in group]


def measured(correct: Sequence[Sequence[str]]) -> Estimate | Share:
    """The mean of networks that were put together, over seeds and images; of one network what it says itself.

    Args:
        correct: the answers of each.
    """
    return over_seeds(by_seed(correct)) if len(correct) > 1 else share(correct[0])


def iterations(record: Evaluation) -> list[int]:
    """At which it was judged."""
    return [budget.iterations for budget in record.budgets]
