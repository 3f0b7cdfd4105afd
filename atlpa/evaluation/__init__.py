"""Evaluation: what still stands under attack, white-box and by transfer, and whether that number can be believed."""

from atlpa.evaluation.attack_batches import accuracy, adversarial_batches, attacked
from atlpa.evaluation.attack_result import AttackResult
from atlpa.evaluation.checks import CHECKS, Check, credibility
from atlpa.evaluation.correctness import correct
from atlpa.evaluation.distances import DistanceResult, distances
from atlpa.evaluation.evaluate import evaluate
from atlpa.evaluation.transfer import transfer

__all__ = [
    "CHECKS",
    "AttackResult",
    "Check",
    "DistanceResult",
    "accuracy",
    "adversarial_batches",
    "attacked",
    "correct",
    "credibility",
    "distances",
    "evaluate",
    "transfer",
]
