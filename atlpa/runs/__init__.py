"""Runs: folders that hold an experiment, its network and what was measured on it."""

from atlpa.runs.analyze import ANALYSES, Analyses, What
from atlpa.runs.attention import save_attention
from atlpa.runs.credibility import IMAGES, CredibilityRun
from atlpa.runs.evaluate import evaluate, recorded
from atlpa.runs.evaluation_images import EvaluationImages
from atlpa.runs.folder import Run, finished_runs, newest_run
from atlpa.runs.protocol import Protocol
from atlpa.runs.threats import Pairing, pair
from atlpa.runs.train import train_run

__all__ = [
    "ANALYSES",
    "IMAGES",
    "Analyses",
    "CredibilityRun",
    "EvaluationImages",
    "Pairing",
    "Protocol",
    "Run",
    "What",
    "evaluate",
    "finished_runs",
    "newest_run",
    "pair",
    "recorded",
    "save_attention",
    "train_run",
]
