"""Runs: folders that hold an experiment, its network and what was measured on it."""

from atlpa.runs.check import IMAGES, Examination
from atlpa.runs.evaluate import evaluate, recorded
from atlpa.runs.folder import Run, finished_runs
from atlpa.runs.protocol import Protocol
from atlpa.runs.threats import Pairing, pair
from atlpa.runs.train import train_run

__all__ = [
    "IMAGES",
    "Examination",
    "Pairing",
    "Protocol",
    "Run",
    "evaluate",
    "finished_runs",
    "pair",
    "recorded",
    "train_run",
]
