"""The gallery's tables in docs/credibility.md, from its record: ``python -m benchmarks.gallery_page``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import permutations, product
from pathlib import Path
from typing import Any

from atlpa.files import write_text
from atlpa.report import Table
from benchmarks.gallery import FILE

PAGE = Path(__file__).parents[1] / "docs" / "credibility.md"
PLACE = re.compile(r"(<!-- gallery(: both ways)? -->\n\n)((?:\|.*\n)*)")
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
        flags = ", ".join(network["flags"]) or ("none" if made else "–")
        rows.append((name, kind, *cells, flags, said(network.get("findings", {}))))
    return Table(("network", "", *COLUMNS.values(), "AutoAttack's flags", "our checks"), rows, left=2)


def said(findings: Mapping[str, str]) -> str:
    """What the checks say: the worst status, and which gave it."""
    for status in ("fail", "warn"):
        if names := [name for name, own in findings.items() if own == status]:
            return f"{status}: {', '.join(names)}"
    return "pass" if findings else "–"


def apart(some: str, others: str) -> int:
    """How many images stand here and fall there."""
    return sum(pair == ("1", "0") for pair in zip(some, others, strict=True))


def both_ways(record: Mapping[str, Any]) -> Table:
    """Of networks attacked with several seeds: what stands with the standard ensemble and falls with AutoAttack."""
    rows = []
    for name, network in record["networks"].items():
        ours, theirs = (
            [mask for attack, mask in network["standing"].items() if attack.startswith(maker)]
            for maker in ("standard", "autoattack")
        )
        if len(theirs) > 1:
            pairs = (product(ours, theirs), product(theirs, ours), permutations(theirs, 2))
            always = [place for place, masks in enumerate(zip(*ours, strict=True)) if "0" not in masks]
            never = [place for place in always if all(mask[place] == "0" for mask in theirs)]
            left = (", ".join(str(mask.count("1")) for mask in masks) for masks in (ours, theirs))
            listed = ", ".join(map(str, never)) or "none"
            rows.append((name, *left, *(_mean([apart(*pair) for pair in some]) for some in pairs), listed))
    alone = ("ours alone", "AutoAttack alone", "one of its seeds alone", "always ours alone")
    return Table(("network", "ours", "AutoAttack", *alone), rows)


def _mean(counts: Sequence[int]) -> str:
    return f"{sum(counts) / len(counts):.1f}"


def drawn(text: str) -> str:
    """The page with the tables as the record has them."""
    record = json.loads(FILE.read_text())
    return PLACE.sub(lambda place: place[1] + (both_ways if place[2] else table)(record).markdown(), text)


if __name__ == "__main__":
    write_text(PAGE, drawn(PAGE.read_text()))
