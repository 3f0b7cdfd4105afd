"""A check: what it is called, what an honest evaluation shows, who asks for it, what to do, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from atlpa.evaluation.checks.context import CheckContext
from atlpa.evaluation.checks.evidence import TOLERANCE, compare_masks
from atlpa.evaluation.checks.standing import Attempt
from atlpa.records import Finding, Status


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question about an evaluation; called, it answers with a finding.

    Fields:
        name: what findings call it.
        expected: what an honest evaluation shows.
        source: who asks for this check.
        advice: what to do if it does not pass.
        make: measures on a context; gives the status and what was found.
        precondition: whether nothing else can be measured where it fails.
    """

    name: str
    expected: str
    source: str
    advice: str
    make: Callable[[CheckContext], tuple[Status, str]]
    precondition: bool = False

    def __call__(self, context: CheckContext) -> Finding:
        """Make the check."""
        return self.finding(*self.make(context))

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


def compare(
    context: CheckContext, before: Tensor, attempts: Sequence[Attempt], tolerance: float = TOLERANCE
) -> tuple[Status, str]:
    """Weigh what other attacks break of what stands without them; what they break no longer stands.

    Args:
        context: the model and its images.
        before: ``(N,)`` bool, what stands without them.
        attempts: as ``CheckContext.under`` takes them.
        tolerance: share of what stands that may fall in an honest evaluation.
    """
    standing = int(before.sum())
    after = context.under(attempts, before) if standing else before
    return compare_masks(before, after, tolerance, context.randomized)
