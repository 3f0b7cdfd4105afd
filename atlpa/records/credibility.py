"""What the credibility checks find, as records hold it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from atlpa.component import Component, FromList
from atlpa.records.record import MeasuredRecord

Status = Literal["pass", "warn", "fail", "skip"]


class Finding(Component):
    """What one check says about an evaluation.

    Fields:
        check: its name; ``docs/credibility.md`` explains each.
        status: ``fail``: measured evidence that the robust accuracy is overstated or the evaluation invalid; ``warn``:
            not conclusive; ``pass``; ``skip``: not run.
        measured: what was found, or why it was not run.
        expected: what an honest evaluation shows.
        source: who asks for this check.
        advice: what to do if it does not pass.
    """

    check: str
    status: Status
    measured: str
    expected: str
    source: str
    advice: str


class Credibility(MeasuredRecord):
    """All checks of one network at one ε.

    Fields:
        epsilon: ε of the attacks, in units of the [0, 1] pixel range.
        findings: one for each check, in order.
        rejudged: whether their statuses were given anew, by later tolerances, to what had been measured.
    """

    kind: Literal["credibility"] = "credibility"
    epsilon: float
    findings: Annotated[tuple[Finding, ...], FromList]
    rejudged: bool = False


def verdict(findings: Sequence[Finding], most: int = 3) -> str:
    """The worst status, with the checks that gave it: ``pass``, ``warn: noise`` or ``fail: margin, gradients +2``.

    Args:
        findings: of one network at one ε.
        most: how many checks are named; of the others, how many there are.
    """
    for status in ("fail", "warn"):
        if names := [finding.check for finding in findings if finding.status == status]:
            more = f" +{len(names) - most}" if len(names) > most else ""
            return f"{status}: {', '.join(names[:most])}{more}"
    return "pass" if any(finding.status == "pass" for finding in findings) else "skip"
