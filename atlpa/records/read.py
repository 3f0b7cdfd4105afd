"""A record of whatever kind."""

from __future__ import annotations

from pathlib import Path

from atlpa.errors import UserError, shown
from atlpa.json_files import read_json
from atlpa.records.analysis import Attention, Embedding, Landscape, Regions
from atlpa.records.bound import Bound
from atlpa.records.credibility import Credibility
from atlpa.records.distances import Distances
from atlpa.records.evaluation import Evaluation
from atlpa.records.record import Record
from atlpa.records.training import Training

KINDS: dict[str, type[Record]] = {
    "evaluation": Evaluation,
    "training": Training,
    "credibility": Credibility,
    "distances": Distances,
    "bound": Bound,
    "attention": Attention,
    "regions": Regions,
    "embedding": Embedding,
    "landscape": Landscape,
}


def read(path: Path) -> Record:
    """Read a record as what it is.

    Raises:
        UserError: the file is missing, damaged, of a newer version or of an unknown kind, or it contradicts itself.
    """
    fields = read_json(path, "record")
    kind = fields.get("kind") if isinstance(fields, dict) else None
    if not (isinstance(kind, str) and kind in KINDS):
        raise UserError(f"{path} is no record of this atlpa: its kind is {shown(kind)}, known are {', '.join(KINDS)}")
    return KINDS[kind].of(path, fields)
