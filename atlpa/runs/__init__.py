"""Runs: folders that hold an experiment, its network and what was measured on it."""

from atlpa.runs.analyze import ANALYSES, Analyses, What
from atlpa.runs.attention import save_attention
from atlpa.runs.check import IMAGES, Examination
from atlpa.runs.evaluate import evaluate, recorded
from atlpa.runs.folder import Run, finished_runs
from atlpa.runs.protocol import Protocol
from atlpa.runs.sights import Sights
from atlpa.runs.threats import Pairing, pair
from atlpa.runs.train import train_run

__all__ = [
    "ANALYSES",
    "IMAGES",
    "Analyses",
    "Examination",
    "Pairing",
    "Protocol",
    "Run",
    "Sights",
    "What",
    "evaluate",
    "finished_runs",
    "pair",
    "recorded",
    "save_attention",
    "train_run",
]
