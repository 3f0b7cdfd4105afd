"""Is a robust accuracy that somebody claims consistent with what stands?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atlpa.errors import shown
from atlpa.evaluation.checks.evidence import SIGNIFICANCE
from atlpa.records import Finding, Status
from atlpa.statistics import at_most, share

_NO_HINT = 0.05
"""Above this p nobody would speak of a sign."""


def check_claim(claimed: float) -> float:
    """The number itself.

    Raises:
        ValueError: it is no share.
    """
    if not isinstance(claimed, int | float):
        raise ValueError(f"claimed {shown(claimed)}; give a number between 0 and 1")
    if 0 <= claimed <= 1:
        return claimed
    meant = f"; for {claimed:g} % give {claimed / 100:g}" if 1 < claimed <= 100 else ""
    raise ValueError(f"claimed {claimed:g}: a robust accuracy lies between 0 and 1{meant}")


def claim(claimed: float, correct: Sequence[str] | None, felled_by: Mapping[str, Sequence[int]]) -> Finding:
    """Whether the claim can be true, if these images are a sample of those it is made of.

    Args:
        claimed: the claimed share, in [0, 1].
        correct: which images stand under everything that was tried, a 1 or 0 for each, a string for each draw;
            ``None`` if nothing could be.
        felled_by: the places of the images that each attack felled.

    Returns:
        ``fail`` if so few would stand by chance with p < 0.01 (exact binomial test, one-sided), ``warn`` with p < 0.05.
    """
    status, measured = _weighed(check_claim(claimed), correct, felled_by)
    return Finding(
        check="claim",
        status=status,
        measured=measured,
        expected="as many stand as are claimed, up to chance",
        source="Carlini et al. 2019",
        advice="look at the images that refute it, and report what stands",
    )


def _weighed(
    claimed: float, correct: Sequence[str] | None, felled_by: Mapping[str, Sequence[int]]
) -> tuple[Status, str]:
    if correct is None:
        return "skip", "no attack could be made"
    left = share(correct)  # over draws it varies less than the test allows for
    p = at_most(round(left.value * left.n), left.n, claimed)
    by = ", ".join(f"{name} {len(places)}" for name, places in felled_by.items() if places)
    text = f"{100 * claimed:.1f} % claimed; {left.percent()} of {left.n} stand (p {p:.2g})"
    status: Status = "fail" if p < SIGNIFICANCE else "warn" if p < _NO_HINT else "pass"
    return status, f"{text}; felled by {by}" if by else text
