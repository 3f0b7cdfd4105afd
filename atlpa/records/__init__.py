"""Records: what was measured, on what, with what, as versioned JSON. Tables and figures are drawn from them alone."""

from atlpa.records.analysis import Analysis, Attention, Embedding, ImageCondition, Landscape, Regions
from atlpa.records.attack_settings import NORM_SIGNS
from atlpa.records.bound import Bound
from atlpa.records.bound import Method as BoundMethod
from atlpa.records.credibility import Credibility, Finding, Status, verdict
from atlpa.records.digest import digest
from atlpa.records.distances import Distances
from atlpa.records.evaluation import Budget, CorrectByDraw, Evaluation, Threat
from atlpa.records.places import folders_below
from atlpa.records.read import read
from atlpa.records.record import VERSION, EvaluatedImages, Machine, MeasuredRecord, Network, Record
from atlpa.records.training import Selected, Training

__all__ = [
    "NORM_SIGNS",
    "VERSION",
    "Analysis",
    "Attention",
    "Bound",
    "BoundMethod",
    "Budget",
    "CorrectByDraw",
    "Credibility",
    "Distances",
    "Embedding",
    "EvaluatedImages",
    "Evaluation",
    "Finding",
    "ImageCondition",
    "Landscape",
    "Machine",
    "MeasuredRecord",
    "Network",
    "Record",
    "Regions",
    "Selected",
    "Status",
    "Threat",
    "Training",
    "digest",
    "folders_below",
    "read",
    "verdict",
]
