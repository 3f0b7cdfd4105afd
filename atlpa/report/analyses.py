"""Tables 2 and 3: what analyses measured, and the paper's numbers beside it."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TypeVar

from atlpa.records import Analysis, Attention, Embedding, ImageCondition, Landscape, Network, Regions
from atlpa.report.accuracy import row_order
from atlpa.report.table import Linked, Table
from atlpa.statistics import Z

PAPERS_DATASET = "flowers17"
"""Tables 2 and 3 of the paper are about this data set alone."""

Kind = TypeVar("Kind", bound=Analysis)
Column = tuple[str, float]


@cache
def published(table: int) -> Mapping[tuple[str, str, float], float]:
    """Table 2 or 3 of the paper: (defense, threat, ε) → value."""
    text = (files("atlpa.report") / f"paper_table{table}.csv").read_text(encoding="utf-8")
    return {
        (row["defense"], row["threat"], float(row["epsilon"])): float(row["value"])
        for row in csv.DictReader(text.splitlines())
    }


def regions_table(records: Sequence[Analysis]) -> Table | None:
    """Table 2: mean normalized activation inside key regions, and its contrast, with 95 % intervals over images."""

    def cell(record: Regions) -> str:
        contrast = [own - other for own, other in zip(record.inside, record.outside, strict=True)]
        return f"{mean_interval(record.inside)}, {mean_interval(contrast, signed=True)}"

    return _table([r for r in records if isinstance(r, Regions)], 2, cell, lambda r: len(r.inside))


def embedding_table(records: Sequence[Analysis]) -> Table | None:
    """Table 3: silhouette of the t-SNE embedding, mean ± deviation over its seeds, and of the raw features."""

    def cell(record: Embedding) -> str:
        scores = record.silhouettes
        spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
        return f"{statistics.fmean(scores):+.2f}{spread}, {record.raw_silhouette:+.2f}"

    return _table([r for r in records if isinstance(r, Embedding)], 3, cell, lambda r: len(r.labels))


def attention_table(records: Sequence[Analysis]) -> Table | None:
    """How much each stage's attention depends on the image, and how far the attacks move it (Eq. 4, by stage)."""
    found = [record for record in records if isinstance(record, Attention)]
    if not found:
        return None
    found.sort(key=lambda r: (row_order(r.target), condition_order(r.seen)))
    stages = found[0].stages
    rows = [
        (
            name(record.target),
            condition(record.seen),
            *(Linked(f"{value:.3f}", record) for value in record.variation),
            *("–" if record.seen.threat == "clean" else f"{value:.3f}" for value in record.distance),
        )
        for record in found
    ]
    columns = [*(f"variation {stage}" for stage in stages), *(f"distance {stage}" for stage in stages)]
    return Table(("network", "images", *columns), rows, left=2)


def landscape_table(records: Sequence[Analysis]) -> Table | None:
    """The range of each loss surface of Fig. 4 and 8: its mean over images, and of each image."""
    found = sorted((r for r in records if isinstance(r, Landscape)), key=lambda r: row_order(r.target))
    if not found:
        return None
    rows = []
    for record in found:
        ranges = [max(map(max, grid)) - min(map(min, grid)) for grid in record.losses]
        each = ", ".join(f"{value:.1f}" for value in ranges)
        rows.append((name(record.target), f"{statistics.fmean(ranges):.1f}", each))
    return Table(("network", "range, mean", "range of each image"), rows)


def drawn_around(records: Sequence[Analysis]) -> str:
    """How far from its image a landscape goes: farther than any one of its two directions."""
    reach = sorted({max(map(abs, record.steps)) for record in records if isinstance(record, Landscape)})
    sides, corners = (" or ".join(f"{factor * a:.4g}" for a in reach) for factor in (1, 2))
    return f"|a|, |b| ≤ {sides}; ‖δ‖∞ is up to |a| + |b|, at the corners {corners}"


def mean_interval(values: Sequence[float], signed: bool = False) -> str:
    """A mean with its 95 % interval over images, by the normal approximation."""
    mean = statistics.fmean(values)
    half = Z * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{mean:{'+' if signed else ''}.2f} ± {half:.2f}"


def name(network: Network) -> str:
    """How these tables and figures call a network."""
    return f"{network.defense} {network.architecture}" + (f" seed {network.seed}" if network.seed else "")


def condition(seen: ImageCondition) -> str:
    """How they call what it was shown."""
    return seen.threat if seen.threat == "clean" else f"{seen.threat} {seen.epsilon:.4g}"


def condition_order(seen: ImageCondition) -> tuple[int, float]:
    """Clean, gray-box, black-box, by ε."""
    return ("clean", "gray", "black").index(seen.threat), seen.epsilon


def _table(
    records: Sequence[Kind], number: int, cell: Callable[[Kind], str], count: Callable[[Kind], int]
) -> Table | None:
    """Networks × what they were shown, the paper's value in brackets."""
    if not records:
        return None
    seen = {condition(r.seen): r.seen for r in records}  # type: ignore[attr-defined]
    columns = sorted(seen, key=lambda title: condition_order(seen[title]))
    networks = sorted({r.target.weights: r.target for r in records}.values(), key=row_order)
    rows = []
    for network in networks:
        own = {condition(r.seen): r for r in records if r.target.weights == network.weights}  # type: ignore[attr-defined]
        cells = []
        for title in columns:
            paper = published(number).get((network.defense, seen[title].threat, seen[title].epsilon))
            beside = f" [{paper:.2f}]" if paper is not None and records[0].data.dataset == PAPERS_DATASET else ""
            cells.append(Linked(cell(own[title]) + beside, own[title]) if title in own else "–")
        rows.append((name(network), *cells, count(next(iter(own.values())))))
    return Table(("network", *columns, "n"), rows)
