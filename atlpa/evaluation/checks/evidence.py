"""How much evidence makes a finding: a material gap, and one that chance does not explain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import binomtest
from torch import Tensor

from atlpa.records import Finding, Status

if TYPE_CHECKING:
    from atlpa.evaluation.checks.case import Case

MATERIAL = 0.03
ADAPTIVE = 0.1  # a margin loss breaks 2 to 10 points more than cross-entropy on honest networks
TOGETHER = 0.2  # several such attacks, image by image, up to 17
SURE = 0.01


@dataclass(frozen=True)
class Check:
    """A check: what it is called, what an honest evaluation shows, who asks for it, what to do, and how it is made."""

    name: str
    expected: str
    source: str
    advice: str
    make: Callable[[Case], tuple[Status, str]]

    def __call__(self, case: Case) -> Finding:
        """Make the check."""
        return self.finding(*self.make(case))

    def finding(self, status: Status, measured: str) -> Finding:
        """What it says."""
        return Finding(
            check=self.name,
            status=status,
            measured=measured,
            expected=self.expected,
            source=self.source,
            advice=self.advice,
        )


def weigh(worse: int, better: int, n: int, tolerance: float = MATERIAL) -> Status:
    """How bad it is that so many images speak against the evaluation, and so many for it.

    Args:
        worse: images that speak against it.
        better: images that speak for it.
        n: all images.
        tolerance: net share of the images that an honest evaluation may show.

    Returns:
        ``fail`` above the tolerance with one-sided paired p < 0.01; ``warn`` above the tolerance with less certainty,
        or above half of it with p < 0.01; else ``pass``.
    """
    net = (worse - better) / n
    if net <= tolerance / 2:
        return "pass"
    sure = binomtest(worse, worse + better, alternative="greater").pvalue < SURE
    if net > tolerance:
        return "fail" if sure else "warn"
    return "warn" if sure else "pass"


def surpasses(count: int, n: int, tolerance: float) -> Status:
    """How bad it is that so many images speak against the evaluation, where honest networks differ among themselves.

    Returns:
        ``fail`` with one-sided binomial p < 0.01 above the tolerance, ``warn`` above half of it, else ``pass``.
    """
    if exceeds(count, n, tolerance) == "fail":
        return "fail"
    return "warn" if count > tolerance / 2 * n and count > 1 else "pass"


def exceeds(count: int, n: int, rate: float) -> Status:
    """How bad a count is that an honest evaluation keeps at or below some rate.

    Returns:
        ``fail`` with one-sided binomial p < 0.01 above the rate, ``warn`` above the rate, else ``pass``.
    """
    if count <= rate * n:
        return "pass"
    return "fail" if binomtest(count, n, rate, alternative="greater").pvalue < SURE else "warn"


def percent(right: Tensor) -> str:
    """A share in percent."""
    return f"{100 * right.float().mean().item():.1f} %"
