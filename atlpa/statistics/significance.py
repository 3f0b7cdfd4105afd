"""May a difference be chance?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from atlpa.statistics.binomial import at_most

LEVEL = 0.05


def mcnemar(first: str, second: str) -> float:
    """Exact two-sided p of McNemar's test: may two networks be equally good, judged on the same images?

    Args:
        first: answers of one network, right or wrong, one character per image.
        second: those of the other.

    Raises:
        ValueError: other images.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} answers; the test needs the same images")
    pairs = list(zip(first, second, strict=True))
    one, other = pairs.count(("1", "0")), pairs.count(("0", "1"))
    return min(1.0, 2 * at_most(min(one, other), one + other, 0.5))


def smallest_p(seeds: int, others: int) -> float:
    """The smallest two-sided p that an exact permutation of so many seeds can give: 0.1 with three against three."""
    return min(1.0, 2 / math.comb(seeds + others, seeds))


def holm(values: Sequence[float]) -> list[float]:
    """Holm's correction of several p-values, in their order: the chance of any false alarm among them stays below p."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = highest
    return corrected
