"""Evaluation: what still stands under attack, white-box and by transfer, with what it means statistically."""

from atlpa.evaluation.accuracy import accuracy, correct
from atlpa.evaluation.attack_result import AttackResult
from atlpa.evaluation.checks import credibility
from atlpa.evaluation.transfer import transfer
from atlpa.evaluation.white_box import white_box

__all__ = ["AttackResult", "accuracy", "correct", "credibility", "transfer", "white_box"]
