"""The report as one self-contained HTML page: no request leaves it, but the links to the records beside it."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from atlpa.field_types import written
from atlpa.report.checks import advice, findings_table, what_stands
from atlpa.report.escape import hypertext, link
from atlpa.report.findings import findings
from atlpa.report.networks import network_title, network_titles
from atlpa.report.results import Results
from atlpa.report.section import Section
from atlpa.report.table import Linked, Table

COMPARED = "Figures 5 and 6: what defenses attend to (the deepest stage with 4×4 places), clean and adversarial"
FIRST = ("trade-off", "curves")
"""The figure above all tables: the first of these that there is."""
INTERVAL = re.compile(r"\[[-+.\d]+, [-+.\d]+\]")
"""What a narrow screen must not break in two."""
LONG = 16
"""Rows of a table that is not folded."""
STAGES = "Figure 1: attention of every stage, {}"


def page(results: Results, tables: Sequence[Section], figures: Mapping[Path, str], folder: Path) -> str:
    """The page, with the PNG figures put into it.

    Args:
        results: what is on record.
        tables: in their order.
        figures: the PNG files that were drawn from the records, with their titles.
        folder: where the page will lie, and figures that were drawn from pixels (attention*.png) do.
    """
    shown = {**figures, **_attention(folder)}
    first = next((file for name in FIRST for file in shown if file.stem == name), None)
    parts = [_found(results, {section.name for section in tables}, folder)]
    parts += [_figure(first, shown.pop(first))] if first else []
    parts.append(_how(results))
    parts += [_section(s.name, s.title, _folded(s, _table(s.table, results, folder)) + _note(s.note)) for s in tables]
    parts += [_figure(file, title) for file, title in shown.items()]
    parts += [_checks(results, folder)] if results.checks else []
    parts.append(_cost(results))
    own = files("atlpa.report")
    style, script = ((own / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    title = hypertext(f"Robustness report: {_subject(results)}")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{''.join(parts)}</main>\n"
        f'<dialog><img alt=""></dialog>\n<script>\n{script}</script>\n</body>\n</html>\n'
    )


def _found(results: Results, sections: Collection[str], folder: Path) -> str:
    """Three sentences, before any table, each with the way to where it is read from."""
    items = ""
    for text, table, record, check in findings(results):
        file = results.file(record) if record else None
        ways = [f'<a href="#{table}">table</a>'] if table in sections else []
        ways += [f'<a href="{link(file, folder)}">record</a>'] if file else []
        ways += [f'<a href="#advice-{results.checks.index(check)}">what to do</a>'] if check else []
        items += f"<li>{hypertext(text)} <span class=ways>{' '.join(ways)}</span></li>\n"
    return f"<ul class=lead>\n{items}</ul>\n" if items else ""


def _folded(section: Section, table: str) -> str:
    """A long table behind a line that opens it; never the first, which is what the page is about."""
    rows = len(section.table.rows)
    if rows <= LONG or section.name == "table1":
        return table
    return f"<details><summary>{rows} rows</summary>\n{table}</details>\n"


def _attention(folder: Path) -> dict[Path, str]:
    """The figures that were drawn from pixels, with their titles."""
    titles = {folder / "attention.png": COMPARED}
    stages = sorted(folder.glob("attention-*.png"))
    titles |= {file: STAGES.format(file.stem.removeprefix("attention-")) for file in stages}
    return {file: title for file, title in titles.items() if file.is_file()}


def _subject(results: Results) -> str:
    data = results.measurements[0].data
    return f"{data.dataset} at {data.size}×{data.size}"


def _how(results: Results) -> str:
    """What was run, in a paragraph, and what the reader must know first."""
    networks = {record.target.weights: record.target for record in results.measurements}
    kinds = Counter(f"{n.architecture}" for n in networks.values())
    counted = ", ".join(f"{count} × {name}" for name, count in kinds.items())
    kinds_of_records = f"{len(results.evaluations)} attacks judged, {len(results.checks)} credibility checks made, "
    kinds_of_records += f"{len(results.analyses)} analyses"
    kinds_of_records += f", {len(results.distances)} curves over ε" if results.distances else ""
    return (
        f"<p class=lead>{hypertext(counted)}; {kinds_of_records}. All accuracies but the white-box ones are "
        "<strong>transfer accuracies</strong>: upper bounds, no robustness. Robustness is the white-box column, and "
        "what the checks say about it. At ε ≥ 0.5 constant gray lies within reach of every image, so that no "
        "classifier can be robust there.</p>\n"
        + "".join(f"<p class=problem>{hypertext(problem)}</p>\n" for problem in results.problems)
    )


def _section(name: str, title: str, body: str) -> str:
    return f'<section id="{hypertext(name)}">\n<h2>{hypertext(title)}</h2>\n{body}</section>\n'


def _table(table: Table, results: Results, folder: Path) -> str:
    """Sortable by its headers; cells lead to their records."""
    head = "".join(
        f'<th scope="col"{_word(number, table)}><button type="button">{hypertext(title)}</button></th>'
        for number, title in enumerate(table.columns)
    )
    rows = "".join(
        "<tr>"
        + "".join(f"<td{_word(number, table)}>{_cell(cell, results, folder)}</td>" for number, cell in enumerate(row))
        + "</tr>\n"
        for row in table.rows
    )
    return f"<div class=wide><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"


def _word(number: int, table: Table) -> str:
    """Columns of words are set to the left."""
    return " class=word" if number < table.left else ""


def _cell(cell: object, results: Results, folder: Path) -> str:
    file = results.file(cell.record) if isinstance(cell, Linked) else None
    text = INTERVAL.sub(lambda found: found[0].replace(" ", "&nbsp;"), hypertext(cell))
    return f'<a href="{link(file, folder)}">{text}</a>' if file else text


def _note(note: str) -> str:
    return f"<p>{'<br>'.join(hypertext(line) for line in note.strip().splitlines())}</p>\n" if note else ""


def _figure(file: Path, title: str) -> str:
    content = base64.b64encode(file.read_bytes()).decode()
    image = f'<img src="data:image/png;base64,{content}" alt="{hypertext(title)}" style="--width: {_width(file)}px">'
    return _section(file.stem, title, f"<button type=button class=figure>{image}</button>\n")


def _width(file: Path) -> int:
    """A PNG's, in pixels: the first number of its header."""
    return int.from_bytes(file.read_bytes()[16:20])


def _checks(results: Results, folder: Path) -> str:
    """Every check of every network, folded away; a link to what is advised opens it."""
    parts, titles = [], network_titles(results.checks)
    for number, record in enumerate(results.checks):
        title = f"{titles[record.target.weights]}, ε {written(record.epsilon)}, n {record.data.count}"
        counts = Counter(finding.status for finding in record.findings)
        said = ", ".join(f"{counts[status]} {status}" for status in ("fail", "warn", "pass", "skip") if counts[status])
        advised = "".join(f"<li>{hypertext(line)}</li>" for line in [*what_stands(record), *advice(record)])
        body = _table(findings_table(record), results, folder)
        body += f'<ul id="advice-{number}">{advised}</ul>' if advised else ""
        parts.append(f"<details><summary>{hypertext(title)}: {said}</summary>\n{body}</details>\n")
    return _section("checks", "Credibility checks", "".join(parts))


def _cost(results: Results) -> str:
    """Times and machines."""
    rows = [(network_title(t.network), t.iterations, f"{t.seconds / 60:.1f}") for t in results.trainings]
    trained = _table(Table(("training", "iterations", "minutes"), rows), results, Path()) if rows else ""
    # Targets that shared an attack carry its time each.
    attacks = {(r.source.weights, r.threat == "white", r.attack["epsilon"], r.seconds) for r in results.evaluations}
    seconds = {
        "attacking and judging": sum(attack[-1] for attack in attacks),
        "credibility checks": sum(record.seconds for record in results.checks),
        "distances": sum(record.seconds for record in results.distances),
        "analyses": sum(record.seconds for record in results.analyses),
    }
    text = ", ".join(f"{name} {value / 60:.1f} minutes" for name, value in seconds.items() if value)
    machines = {
        ", ".join(
            filter(None, (m.device, m.instructions, f"{m.threads} thread(s), torch {m.torch}, Python {m.python}"))
        )
        for m in (record.machine for record in results.measurements)
    }
    where = "".join(f"<p>{hypertext(machine)}</p>\n" for machine in sorted(machines))
    return _section("cost", "Cost and environment", f"{trained}<p>{hypertext(text)}.</p>\n{where}")
