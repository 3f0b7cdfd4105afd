"""The gallery's table in docs/credibility.md, from its record: ``python -m benchmarks.gallery_page``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atlpa.files import write_text
from atlpa.report import Table
from benchmarks.gallery import FILE

PAGE = Path(__file__).parents[1] / "docs" / "credibility.md"
PLACE = re.compile(r"(<!-- gallery -->\n\n)((?:\|.*\n)*)")
COLUMNS = {
    "clean": "clean",
    "pgd": "plain PGD",
    "autoattack": "AutoAttack",
    "fast": "ensemble",
    "fast and rivals": "with rivals",
    "strongest": "strongest of all",
}
"""What stands in the record → what the table calls it."""


def table(record: Mapping[str, Any]) -> Table:
    """Percent of the images that stand under each attack, and which of AutoAttack's flags were raised."""
    rows = []
    for name, network in record["networks"].items():
        left = [network["left"].get(attack) for attack in COLUMNS]
        cells = ["–" if count is None else f"{100 * count / record['images']:.0f}" for count in left]
        made = "autoattack" in network["standing"]
        kind = "honest" if network["honest"] else "draws" if network["draws"] else ""
        rows.append((name, kind, *cells, ", ".join(network["flags"]) or ("none" if made else "–")))
    return Table(("network", "", *COLUMNS.values(), "AutoAttack's flags"), rows, left=2)


def drawn(text: str) -> str:
    """The page with the table as the record has it."""
    return PLACE.sub(lambda place: place[1] + table(json.loads(FILE.read_text())).markdown(), text)


if __name__ == "__main__":
    write_text(PAGE, drawn(PAGE.read_text()))
