"""What a count of right answers says about the accuracy behind it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

Z = statistics.NormalDist().inv_cdf(0.975)


class Share(NamedTuple):
    """A share of n images with its 95 % Wilson score interval; all between 0 and 1.

    Fields:
        value: the share; the mean over draws of a randomized network.
        low: lower end of the interval, over images.
        high: upper end.
        n: how many images.
        spread: standard deviation of the share over draws; ``None`` with one draw.
    """

    value: float
    low: float
    high: float
    n: int
    spread: float | None = None

    def __str__(self) -> str:
        """Percent, as tables show it: ``57.1 [51.8, 62.2]``, and ``± 1.3`` for the spread over draws."""
        spread = "" if self.spread is None else f" ± {100 * self.spread:.1f}"
        return f"{100 * self.value:.1f}{spread} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def share(verdicts: Sequence[str]) -> Share:
    """The share of 1 among a record's verdicts: one string a draw, one character an image; at least one image."""
    n = len(verdicts[0])
    draws = [draw.count("1") / n for draw in verdicts]
    value = statistics.fmean(draws)
    center = (value + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    # At shares 0 and 1 the interval ends there exactly; rounding must not say otherwise.
    low = 0.0 if value == 0 else center - half
    high = 1.0 if value == 1 else center + half
    return Share(value, low, high, n, statistics.stdev(draws) if len(draws) > 1 else None)


def mcnemar(first: str, second: str) -> float:
    """Exact two-sided p of McNemar's test: may two networks be equally good, judged on the same images?

    Args:
        first: verdicts of one network, one character an image.
        second: those of the other.

    Raises:
        ValueError: other images.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} verdicts; the test needs the same images")
    pairs = list(zip(first, second, strict=True))
    one, other = pairs.count(("1", "0")), pairs.count(("0", "1"))
    return float(binomtest(one, one + other).pvalue) if one + other else 1.0


RESAMPLES = 4000
SEVERAL = 3


def by_seed(verdicts: Sequence[Sequence[str]]) -> np.ndarray:
    """Verdicts of a defense's networks, one for each seed, as ``(seeds, images)``: shares of the draws, in [0, 1]."""
    return np.array(
        [np.mean([[character == "1" for character in draw] for draw in draws], axis=0) for draws in verdicts]
    )


def bootstrap(first: np.ndarray, second: np.ndarray | None = None) -> tuple[float, float, float, float]:
    """A defense's accuracy, or the difference of two, over seeds and images.

    Seeds of each defense and images, the same for both, are drawn again with replacement, 4000 times.

    Args:
        first: ``(seeds, images)``, at least three seeds.
        second: of the other defense, on the same images.

    Returns:
        The mean, the ends of the 95 % percentile interval, and two-sided p of no difference from zero; shares.

    Raises:
        ValueError: other images.
    """
    if second is not None and first.shape[1] != second.shape[1]:
        raise ValueError(f"{first.shape[1]} and {second.shape[1]} images; the bootstrap needs the same images")
    random = np.random.default_rng(0)
    n = first.shape[1]
    means = np.zeros(RESAMPLES)
    for resample in range(RESAMPLES):
        # How often each image is drawn; a seed's mean is then a dot product.
        weights = np.bincount(random.integers(n, size=n), minlength=n) / n
        for sign, verdicts in ((1, first), (-1, second)):
            if verdicts is not None:
                seeds = random.integers(len(verdicts), size=len(verdicts))
                means[resample] += sign * (verdicts[seeds] @ weights).mean()
    mean = first.mean() - (0 if second is None else second.mean())
    low, high = np.quantile(means, (0.025, 0.975))
    p = min(1.0, 2 * max(1 / RESAMPLES, min((means <= 0).mean(), (means >= 0).mean())))
    return float(mean), float(low), float(high), float(p)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's correction of several p-values, in their order: the chance of any false alarm among them stays below p."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = highest
    return corrected
