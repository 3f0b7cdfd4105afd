"""How long the paper's Table 1 would take on the machine measured: its passes, at the rates of measured stages."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch

from atlpa.defenses import Defense, load_preset
from atlpa.models import ModelSpec
from atlpa.studies import load_study, plan
from atlpa.training import Recipe
from benchmarks.contestants import OURS
from benchmarks.counting import operations

IMAGES = {"flowers": 340, "bmw": 512}
"""The shipped studies that make up the table, and how many images each judges: of BMW-10 at most its 512."""

STAGES = {"trainings": "training step", "attacks": "iteration", "judging": "iteration"}
"""The work at whose rate each stage runs."""


def table1(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of hours by stage; nothing unless both works were measured on a ResNet at 224×224."""
    rows = [row for record in records for row in record["rows"] if row["turns"] and row["settings"].get("side") == 224]
    if not all(any(row["work"] == work for row in rows) for work in STAGES.values()):
        return []
    lines = [f"| hours | {' | '.join(OURS)} |", f"|---|{'---:|' * len(OURS)}"]
    total: Counter[str] = Counter()
    for study, images in IMAGES.items():
        for stage, (count, needed) in _stages(study, images).items():
            cells = [f"{study}: {count} {stage}"]
            for name in OURS:
                hours = needed / _rate(rows, STAGES[stage], name) / 3600
                total[name] += hours
                cells.append(f"{hours:.0f}" if hours >= 100 else f"{hours:.3g}")
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, f"| **all** | {' | '.join(f'**{total[name]:.0f}**' for name in OURS)} |"]


def _stages(study: str, images: int) -> Mapping[str, tuple[int, float]]:
    """How many there are of each stage, and the operations they take; no image is taken to fall early."""
    laid = plan(load_study(study))
    trainings = sum(
        _operations(one.model.architecture)
        * (one.training.iterations * one.training.batch_size)
        * sum(one.defense.cost(one.training.attack) or ())
        for one in (step.experiment for step in laid.trainings)
    )
    attacks = sum(
        2 * _operations(attack.source.model.architecture) * images * attack.protocol.budgets[-1]
        for attack in laid.attacks
    )
    judged = [(target, attack.protocol) for attack in laid.attacks if not attack.white_box for target in attack.targets]
    judging = sum(
        _operations(target.model.architecture) * images * len(protocol.budgets) for target, protocol in judged
    )
    return {
        "trainings": (len(laid.trainings), trainings),
        "attacks": (len(laid.attacks), attacks),
        "judging": (len(judged), judging),
    }


def _rate(rows: Sequence[Mapping[str, Any]], work: str, name: str) -> float:
    """Operations per second of one of ours at a work, on the largest network measured."""
    row = max(
        (row for row in rows if row["work"] == work and row["name"] == name), key=lambda row: row["facts"]["operations"]
    )
    settings, needed = row["settings"], row["facts"]["operations"]
    if work == "training step":
        needed *= settings["batch"] * sum(
            Defense(**load_preset(settings["defense"]).fields).cost(Recipe().attack) or ()
        )
    return float(needed / statistics.median(turn["seconds"] for turn in row["turns"]))


@cache
def _operations(architecture: str) -> int:
    model = ModelSpec(architecture=architecture, weights="none").build(17, seed=0).eval()  # type: ignore[arg-type]
    return operations(model, torch.zeros(1, 3, 224, 224))
