"""Checks that tell a robust model from an attack that fails."""

from atlpa.evaluation.checks.credibility import CHECKS, credibility

__all__ = ["CHECKS", "credibility"]
