"""Runs: folders that hold an experiment, its network and what was measured on it."""

from atlpa.runs.analyze import ANALYSES, Analyses
from atlpa.runs.attention import attention_figures
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
    "attention_figures",
    "evaluate",
    "finished_runs",
    "pair",
    "recorded",
    "train_run",
]
