"""How much each network's attention maps depend on the image, and how far the gray-box attack moves them."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.records import Analysis, Attention
from atlpa.report import Table
from atlpa.report.analyses import condition
from atlpa.report.networks import network_titles, targets

SHOWN = {"clean": "variation", "gray 0.25": "distance"}
"""What the maps are shown, and which of their numbers is told of it."""


def attention(records: Sequence[Analysis]) -> Table | None:
    """Networks × stages: the maps' variation over clean images, and their distance from those under attack (Eq. 4).

    Args:
        records: of any analyses.

    Returns:
        ``None`` where no network was looked at under both.
    """
    found = [record for record in records if isinstance(record, Attention)]
    titles = network_titles(found)
    cells = {
        (one.target.weights, f"{name} {stage}"): f"{value:.3f}"
        for one in found
        if (name := SHOWN.get(condition(one.seen)))
        for stage, value in zip(one.stages, getattr(one, name), strict=True)
    }
    columns = [f"{name} {stage}" for name in SHOWN.values() for stage in (found[0].stages if found else ())]
    rows = [
        (titles[network.weights], *(cells[network.weights, column] for column in columns))
        for network in targets(found)
        if all((network.weights, column) in cells for column in columns)
    ]
    return Table(("network", *columns), rows) if rows else None
