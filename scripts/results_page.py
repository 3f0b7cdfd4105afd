"""The pages on results, whose tables are drawn from the committed records: ``python -m scripts.results_page``.

A line ``<!-- STUDY …: TABLE -->`` says which of the report's tables stands below it, of which folders in docs/results;
``<!-- STUDY … at ε …: TABLE -->`` has what was measured at these ε alone. The table ``above-ROW`` compares every row
with that one, ``transfer-matrix`` has what every attack leaves of every row, ``attention`` how much the maps depend on
the image. ``<!-- questions -->`` and ``<!-- ablations -->`` are the tables of the scripts of these names. What is said
about them is written by hand; where a table changes, it is to be read again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from atlpa.field_types import parse_number, written
from atlpa.records import Evaluation
from atlpa.report import Table, collect, sections
from atlpa.report.networks import network_titles, source_title, targets
from atlpa.report.transfer import shown_how
from atlpa.statistics import share_among
from scripts.ablations import RESULTS, ablations
from scripts.answers import answers
from scripts.attention import attention
from scripts.questions import questions
from scripts.race import above, trainings

DOCS = Path(__file__).parents[1] / "docs"
PAGES = tuple(DOCS / name for name in ("results.md", "race.md", "first-run.md", "bounds.md"))
PLACE = re.compile(r"(<!-- ([\w ./-]+): ([\w-]+) -->\n\n)((?:\|.*\n)*)")
OURS = re.compile(r"(<!-- (questions|ablations) -->\n\n)((?:\|.*\n)*)")


def drawn(text: str) -> str:
    """The page with every table as the records have it.

    Raises:
        ValueError: there is no such table.
    """
    tables = cache(_tables)  # of this moment's records
    ours = {"questions": questions(DOCS / "results"), "ablations": ablations(answers(RESULTS))}
    text = OURS.sub(lambda place: place[1] + ours[place[2]].markdown(), text)
    return PLACE.sub(lambda place: place[1] + _table(place[2], place[3], tables(place[2])), text)


def _table(studies: str, name: str, tables: Mapping[str, str]) -> str:
    if name not in tables:
        raise ValueError(f"{studies} has no table {name!r}; valid: {', '.join(tables)}")
    return tables[name]


def _tables(which: str) -> dict[str, str]:
    studies, _, only = which.partition(" at ")
    results = collect([DOCS / "results" / study for study in studies.split()])
    if only:
        epsilons = [parse_number(epsilon) for epsilon in only.split()]
        attacks = [attack for attack in results.evaluations if attack.attack["epsilon"] in epsilons]
        checks = [checked for checked in results.checks if checked.epsilon in epsilons]
        results = replace(results, evaluations=attacks, checks=checks)
    found = {section.name: section.table.markdown() for section in sections(results)}
    rows = trainings(results)
    if matrix := transfer_matrix(results.evaluations):
        found["transfer-matrix"] = matrix.markdown()
    if maps := attention(results.analyses):
        found["attention"] = maps.markdown()
    return found | {f"above-{row}": above(row, rows).markdown() for row in rows}


def transfer_matrix(records: Sequence[Evaluation]) -> Table | None:
    """What each attack on each source leaves of every network's images that are right clean, percent with intervals.

    Returns:
        ``None`` where no attack was transferred.
    """
    made = [record for record in records if record.threat != "white"]
    titles = network_titles(records)
    judged = [titles[one.weights] for one in targets(made)]
    cells = {
        (*_made_by(one, titles), titles[one.target.weights]): share_among(one.budgets[-1].correct, one.clean)
        for one in made
    }
    attacks = sorted(
        {key[:-1] for key in cells}, key=lambda row: (parse_number(row[2]), row[1], "pgd" not in row[0], row[0])
    )
    rows = [(*row, *(cells.get((*row, name)) or "–" for name in judged)) for row in attacks]
    return Table(("attack", "source", "ε", *judged), rows, left=2) if rows else None


def _made_by(record: Evaluation, titles: Mapping[str, str]) -> tuple[str, str, str]:
    return shown_how(record), source_title(record, titles), written(record.attack["epsilon"])


def draw() -> None:
    """Write the pages, and say whether a table has changed."""
    for page in PAGES:
        before = page.read_text()
        page.write_text(drawn(before))
        changed = page.read_text() != before
        print(f"{page}: {'changed; read what is said about its tables again' if changed else 'as it was'}")


if __name__ == "__main__":
    draw()
