"""What a count of right answers says about the accuracy behind it."""

from __future__ import annotations

from typing import NamedTuple

from scipy.stats import binomtest


class Share(NamedTuple):
    """A share of n images with its 95 % Wilson score interval; all between 0 and 1."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """Percent, as tables show it: ``57.1 [51.8, 62.2]``."""
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def share(verdicts: str) -> Share:
    """The share of 1 among a record's verdicts, one character an image; at least one image."""
    n, hits = len(verdicts), verdicts.count("1")
    interval = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Share(hits / n, float(interval.low), float(interval.high), n)
