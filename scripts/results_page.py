"""docs/results.md, whose tables are drawn from the committed records: ``python -m scripts.results_page``.

A line ``<!-- STUDY …: TABLE -->`` says which of the report's tables stands below it, of which folders in docs/results.
What is said about them is written by hand; where a table changes, it is to be read again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from atlpa.report import collect, sections

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "results.md"
PLACE = re.compile(r"(<!-- ([\w -]+): ([\w-]+) -->\n\n)((?:\|.*\n)*)")


def drawn(text: str) -> str:
    """The page with every table as the records have it.

    Raises:
        ValueError: there is no such table.
    """
    tables = cache(_tables)
    return PLACE.sub(lambda place: place[1] + _table(place[2], place[3], tables(place[2])), text)


def _table(studies: str, name: str, tables: Mapping[str, str]) -> str:
    if name not in tables:
        raise ValueError(f"{studies} has no table {name!r}; valid: {', '.join(tables)}")
    return tables[name]


def _tables(studies: str) -> dict[str, str]:
    results = collect([DOCS / "results" / study for study in studies.split()])
    return {section.name: section.table.markdown() for section in sections(results)}


def draw() -> None:
    """Write the page, and say whether a table has changed."""
    before = PAGE.read_text()
    PAGE.write_text(drawn(before))
    changed = PAGE.read_text() != before
    print(f"{PAGE}: {'changed; read what is said about its tables again' if changed else 'as it was'}")


if __name__ == "__main__":
    draw()
