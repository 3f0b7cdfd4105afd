"""K, the number of classes that rank first: as given, by the weights of the ranks, or by default."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

PAPERS_K = 5


def top_classes(k: int | None, classes: int, fewest: int = 1) -> int:
    """K on logits of so many classes: as given, else the paper's 5, or every class where there are fewer.

    Raises:
        ValueError: K is less than ``fewest`` or more than the classes there are.
    """
    if classes < fewest:
        raise ValueError(f"top classes of {classes}; at least {fewest} are needed")
    if k is None:
        return min(PAPERS_K, classes)
    if not fewest <= k <= classes:
        raise ValueError(f"k={k} top classes of {classes}; k must lie in {fewest} … {classes}, or be left out")
    return k


def ranked_classes(k: int | None, weights: Sequence[float] | None) -> int | None:
    """K of Eq. 3 as far as it is given: itself, or by one weight for each of the ranks 2 … K.

    Raises:
        ValueError: K is no whole number or below 2, the weights are of another number, or one is negative, infinite or
            not a number.
    """
    if not isinstance(k, Integral | None):
        kind = type(k).__name__
        raise ValueError(f"k is a {kind}; it is the number of top classes (the loss asks for no labels)")
    if weights is not None:
        if k is None:
            k = len(weights) + 1
        if len(weights) != k - 1 or not all(0 <= weight < math.inf for weight in weights):
            given = f"{len(weights)} weights {list(weights)}"
            raise ValueError(f"{given}; k={k} needs {k - 1} non-negative weights w_2 … w_{k}")
    if k is not None and not k >= 2:
        raise ValueError(f"k={k}; k must lie in 2 … the number of classes")
    return k
