"""Tables 2 and 3: what analyses measured, and the paper's numbers beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TypeVar

from atlpa.field_types import written
from atlpa.records import Analysis, Attention, Embedding, ImageCondition, Landscape, Regions
from atlpa.report.networks import network_titles, row_order, targets
from atlpa.report.published import published
from atlpa.report.table import Linked, Table
from atlpa.statistics import Z

SomeAnalysis = TypeVar("SomeAnalysis", Regions, Embedding)


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
    stages, titles = tuple(dict.fromkeys(stage for record in found for stage in record.stages)), network_titles(found)
    rows = [
        (
            titles[record.target.weights],
            condition(record.seen),
            *(Linked(f"{value:.3f}", record) if value is not None else "–" for value in map(variation.get, stages)),
            *("–" if value is None else f"{value:.3f}" for value in map(distance.get, stages)),
        )
        for record in found
        for variation, distance in [(dict(zip(record.stages, record.variation, strict=True)), _distances(record))]
    ]
    columns = [*(f"variation {stage}" for stage in stages), *(f"distance {stage}" for stage in stages)]
    return Table(("network", "images", *columns), rows, left=2)


def _distances(record: Attention) -> dict[str, float]:
    """By stage; there are none from clean images to themselves."""
    return {} if record.seen.threat == "clean" else dict(zip(record.stages, record.distance, strict=True))


def landscape_table(records: Sequence[Analysis]) -> Table | None:
    """The range of each loss surface of Fig. 4 and 8: its mean over images, and of each image."""
    found = sorted((r for r in records if isinstance(r, Landscape)), key=lambda r: row_order(r.target))
    if not found:
        return None
    rows, titles = [], network_titles(found)
    for record in found:
        ranges = [max(map(max, grid)) - min(map(min, grid)) for grid in record.losses]
        each = ", ".join(f"{value:.1f}" for value in ranges)
        rows.append((titles[record.target.weights], f"{statistics.fmean(ranges):.1f}", each))
    return Table(("network", "range, mean", "range of each image"), rows)


def landscape_reach(records: Sequence[Analysis]) -> str:
    """How far from its image a landscape goes: farther than any one of its two directions."""
    reach = sorted({max(map(abs, record.steps)) for record in records if isinstance(record, Landscape)})
    sides, corners = (" or ".join(f"{factor * a:.4g}" for a in reach) for factor in (1, 2))
    return f"|a|, |b| ≤ {sides}; ‖δ‖∞ is up to |a| + |b|, at the corners {corners}"


def mean_interval(values: Sequence[float], signed: bool = False) -> str:
    """A mean with its 95 % interval over images, by the normal approximation."""
    mean = statistics.fmean(values)
    half = Z * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{mean:{'+' if signed else ''}.2f} ± {half:.2f}"


def condition(seen: ImageCondition) -> str:
    """How they call what it was shown."""
    return seen.threat if seen.threat == "clean" else f"{seen.threat} {written(seen.epsilon)}"


def condition_order(seen: ImageCondition) -> tuple[int, float]:
    """Clean, gray-box, black-box, by ε."""
    return ("clean", "gray", "black").index(seen.threat), seen.epsilon


def _table(
    records: Sequence[SomeAnalysis],
    number: int,
    cell: Callable[[SomeAnalysis], str],
    count: Callable[[SomeAnalysis], int],
) -> Table | None:
    """Networks × what they were shown, the paper's value in brackets."""
    if not records:
        return None
    conditions: list[ImageCondition] = sorted(
        {condition(r.seen): r.seen for r in records}.values(), key=condition_order
    )
    dataset, titles = records[0].data.dataset, network_titles(records)
    rows: list[list[object]] = []
    for network in targets(records):
        own = {condition(r.seen): r for r in records if r.target.weights == network.weights}
        row: list[object] = [titles[network.weights]]
        for seen in conditions:
            record = own.get(condition(seen))
            paper = published(number).get((dataset, network.defense, seen.threat, seen.epsilon))
            beside = "" if paper is None else f" [{paper:.2f}]"
            row.append(Linked(cell(record) + beside, record) if record else "–")
        rows.append([*row, count(next(iter(own.values())))])
    return Table(("network", *map(condition, conditions), "n"), rows)
