"""Evaluation: what still stands under attack, white-box and by transfer, with what it means statistically."""

from atlpa.evaluation.accuracy import accuracy, verdicts
from atlpa.evaluation.checks import credibility
from atlpa.evaluation.outcome import Outcome
from atlpa.evaluation.transfer import transfer
from atlpa.evaluation.white_box import white_box

__all__ = ["Outcome", "accuracy", "credibility", "transfer", "verdicts", "white_box"]
