"""The tables of a report: one function for each, of everything on record; other packages add theirs by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from atlpa.errors import UserError, reason
from atlpa.registry import Registry
from atlpa.report.accuracy_sections import (
    accuracy_section,
    bounds_section,
    defenses_section,
    paper_section,
    seeds_section,
    significance_section,
    transfer_section,
)
from atlpa.report.analysis_sections import attention_section, embedding_section, landscapes_section, regions_section
from atlpa.report.distances import distances_section
from atlpa.report.results import Results
from atlpa.report.section import Section

TableOf = Callable[[Results], Section | None]
"""Makes a table of what is on record; ``None`` where the records do not allow it."""


def sections(results: Results, more: Sequence[str] = ()) -> list[Section]:
    """Every table that the records allow, in the order of the report.

    Args:
        results: what is on record.
        more: import paths of tables, beside the built-in ones and those of installed packages.

    Raises:
        ValueError: two measurements for one cell.
        UserError: another package's table fails, or is called what another one is.
    """
    found: dict[str, Section] = {}
    for name in dict.fromkeys((*TABLES, *more)):
        if section := _made(name, results):
            if section.name in found:
                raise UserError(f"table {name!r} is called {section.name!r}, as another is; name it otherwise")
            found[section.name] = section
    return list(found.values())


def _made(name: str, results: Results) -> Section | None:
    """A table of ours as it is; one of another package with what is wrong with it in one line."""
    table = TABLES[name]
    if name in TABLES.built_in:
        return table(results)
    try:
        section = table(results)
    except Exception as error:  # of somebody else's code, which may raise anything
        raise UserError(f"table {name!r} fails: {reason(error)}") from error
    if not (section is None or isinstance(section, Section)):
        raise UserError(f"table {name!r} gives a {type(section).__name__}; give a Section of atlpa.report, or None")
    return section


TABLES: Registry[TableOf] = Registry(
    "table",
    "atlpa.tables",
    {
        "table1": accuracy_section,
        "bounds": bounds_section,
        "table1-paper": paper_section,
        "transfer": transfer_section,
        "significance": significance_section,
        "seeds": seeds_section,
        "defenses": defenses_section,
        "distances": distances_section,
        "attention-maps": attention_section,
        "table2": regions_section,
        "table3": embedding_section,
        "landscape-ranges": landscapes_section,
    },
)
"""Name → what makes the table; a package announces its own as entry points of the group ``atlpa.tables``."""
