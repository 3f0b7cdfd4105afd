"""Checks that tell a robust model from an attack that fails."""

from atlpa.evaluation.checks.check import Check, compare
from atlpa.evaluation.checks.claim import check_claim, claim
from atlpa.evaluation.checks.context import CheckContext
from atlpa.evaluation.checks.credibility import CHECKS, Judged, credibility
from atlpa.evaluation.checks.evidence import compare_masks, percent, rate_status
from atlpa.evaluation.checks.standing import Standing

__all__ = [
    "CHECKS",
    "Check",
    "CheckContext",
    "Judged",
    "Standing",
    "check_claim",
    "claim",
    "compare",
    "compare_masks",
    "credibility",
    "percent",
    "rate_status",
]
