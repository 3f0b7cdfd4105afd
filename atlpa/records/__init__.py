"""Records: what was measured, on what, with what, as versioned JSON. Tables and figures are drawn from them alone."""

from atlpa.records.analysis import Analysis, Attention, Embedding, Landscape, Regions, Seen
from atlpa.records.credibility import Credibility, Finding, Status, verdict
from atlpa.records.evaluation import Budget, Evaluation, Threat, Verdicts
from atlpa.records.read import read
from atlpa.records.record import VERSION, Judged, Machine, Network, Record
from atlpa.records.training import Training

__all__ = [
    "VERSION",
    "Analysis",
    "Attention",
    "Budget",
    "Credibility",
    "Embedding",
    "Evaluation",
    "Finding",
    "Judged",
    "Landscape",
    "Machine",
    "Network",
    "Record",
    "Regions",
    "Seen",
    "Status",
    "Threat",
    "Training",
    "Verdicts",
    "read",
    "verdict",
]
