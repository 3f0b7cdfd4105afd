"""What the answers of one network say about the accuracy, or the distances, behind them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from atlpa.statistics.binomial import at_most

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

    def percent(self) -> str:
        """As a sentence says it: ``57.1 % [51.8, 62.2]``."""
        return str(self).replace(" [", " % [", 1)

    def __str__(self) -> str:
        """Percent, as tables show it: ``57.1 [51.8, 62.2]``, and ``± 1.3`` for the spread over draws."""
        spread = "" if self.spread is None else f" ± {100 * self.spread:.1f}"
        return f"{100 * self.value:.1f}{spread} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def share(correct: Sequence[str]) -> Share:
    """The share of 1 among a record's answers: one string per draw, one character per image; at least one image."""
    n = len(correct[0])
    return _wilson([draw.count("1") / n for draw in correct], n)


def share_among(correct: Sequence[str], clean: Sequence[str]) -> Share | None:
    """The same among the images that are right clean, in each draw by itself; ``None`` where a draw has none.

    With several draws, whose numbers of such images differ, n is their mean, rounded down.

    Args:
        correct: answers under attack, one string per draw, one character per image.
        clean: answers without, of the same draws and images.

    Raises:
        ValueError: other draws or images.
    """
    counts = [draw.count("1") for draw in clean]
    pairs = list(zip(correct, clean, strict=True))
    right = [sum(pair == ("1", "1") for pair in zip(*draw, strict=True)) for draw in pairs]
    if not all(counts):
        return None
    return _wilson([both / count for both, count in zip(right, counts, strict=True)], sum(counts) // len(counts))


def _wilson(draws: Sequence[float], n: int) -> Share:
    """Shares of n images, one for each draw, as their mean with its interval."""
    value = statistics.fmean(draws)
    center = (value + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    # At shares 0 and 1 the interval ends there exactly; rounding must not say otherwise.
    low = 0.0 if value == 0 else center - half
    high = 1.0 if value == 1 else center + half
    return Share(value, low, high, n, statistics.stdev(draws) if len(draws) > 1 else None)


class Median(NamedTuple):
    """A median of distances with an interval that holds that of all such images in at least 95 % of samples.

    Fields:
        value: the median; infinite where too many images have no distance.
        low: lower end; 0 where there are too few images to say.
        high: upper end; infinite likewise.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """As tables show it: ``0.0123 [0.0110, 0.0131]``, ``> ε`` being an infinite one's to say."""
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def median(distances: Sequence[float]) -> Median:
    """The median of distances of 0 or more, with its interval from order statistics, whatever their distribution.

    Between the k-th smallest and the k-th largest of n lies the median of all with probability
    1 − 2 · P(Binomial(n, ½) < k); k is the largest for which that is at least 95 %, from 6 images on.

    Args:
        distances: at least one; infinite ones are distances as well.
    """
    ranked, n = sorted(distances), len(distances)
    middle = ranked[(n - 1) // 2], ranked[n // 2]
    k = next(k for k in range(n) if at_most(k, n, 0.5) >= 0.025)
    low, high = (ranked[k - 1], ranked[n - k]) if k else (0.0, math.inf)
    return Median(middle[0] if middle[0] == middle[1] else sum(middle) / 2, low, high)
