"""A table of a report with its title and what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from atlpa.errors import UserError, shown
from atlpa.report.escape import markdown
from atlpa.report.table import Table


def check_name(what: str, name: str) -> None:
    """Refuse what a report cannot call a file.

    Raises:
        UserError: a name with other signs, a path among them.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"{shown(name)} is no name of a {what}; use letters, digits, dots, dashes and underscores")


@dataclass(frozen=True)
class Section:
    """A table with its title and what it means; Markdown, LaTeX and the page are made of it.

    Fields:
        name: for file names and links: letters, digits, dots, dashes and underscores.
        title: a line.
        table: the numbers.
        note: what they mean, as plain lines.

    Raises:
        UserError: a name that is no file name.
    """

    name: str
    title: str
    table: Table
    note: str = ""

    def __post_init__(self) -> None:
        check_name("table", self.name)

    @classmethod
    def where(cls, table: Table | None, *, name: str, title: str, note: str) -> Section | None:
        """A section, where there is a table."""
        return cls(name, title, table, note) if table else None

    def markdown(self) -> str:
        """Title, table and note."""
        note = "\n".join(map(markdown, self.note.split("\n")))
        return f"**{markdown(self.title)}**\n\n{self.table.markdown()}\n{note}"
