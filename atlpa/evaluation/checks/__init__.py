"""Checks that tell a robust model from an attack that fails."""

from atlpa.evaluation.checks.check import Check, compare
from atlpa.evaluation.checks.context import CheckContext
from atlpa.evaluation.checks.credibility import CHECKS, credibility
from atlpa.evaluation.checks.evidence import compare_masks, percent, rate_status

__all__ = ["CHECKS", "Check", "CheckContext", "compare", "compare_masks", "credibility", "percent", "rate_status"]
