"""Runs: folders that hold an experiment, its network and what was measured on it."""

from atlpa.runs.analysis_methods import ANALYSES, AnalysisKind, AnalysisSettings
from atlpa.runs.analyze import AnalysisTask, analysis_tasks
from atlpa.runs.attention import save_attention
from atlpa.runs.bound import BoundRun
from atlpa.runs.credibility import IMAGES, CredibilityRun
from atlpa.runs.distances import DistanceRun
from atlpa.runs.evaluate import evaluate
from atlpa.runs.evaluation_images import EvaluationImages
from atlpa.runs.export import export
from atlpa.runs.export_formats import FORMATS
from atlpa.runs.finished import finished_runs, newest_run
from atlpa.runs.folder import Run
from atlpa.runs.joint import pair_jointly
from atlpa.runs.protocol import Protocol
from atlpa.runs.threats import Pairing, pair
from atlpa.runs.train import train_run

__all__ = [
    "ANALYSES",
    "FORMATS",
    "IMAGES",
    "AnalysisKind",
    "AnalysisSettings",
    "AnalysisTask",
    "BoundRun",
    "CredibilityRun",
    "DistanceRun",
    "EvaluationImages",
    "Pairing",
    "Protocol",
    "Run",
    "analysis_tasks",
    "evaluate",
    "export",
    "finished_runs",
    "newest_run",
    "pair",
    "pair_jointly",
    "save_attention",
    "train_run",
]
