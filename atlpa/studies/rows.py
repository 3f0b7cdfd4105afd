"""A row of a study: a defense, and what a study says beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from atlpa.component import Component, field_names, validate
from atlpa.errors import explain, shown
from atlpa.field_types import FromList, Seed

OWN_FIELDS = {
    "name": "the study's own name",
    "final": "the study's own final",
    "seed": "seeds",
    "defense": "defenses, as a mapping with a preset and what it overrides",
    "origin": "nothing; the networks of a study begin anew",
    "output": "the study's name, after which its folder is called",
    "code": "nothing; it is written down, not chosen",
}
"""Fields of an experiment that a study decides for each of its networks, and what says them."""

Seeds = Annotated[tuple[Seed, ...], FromList, Field(min_length=1)]


class RowFields(Component):
    """What a row's mapping may hold beside a defense.

    Fields:
        config: the experiment, in place of the study's.
        changes: dotted fields of the experiment, ``final`` among them, after those of the study.
        seeds: in place of the study's.
    """

    config: str | None = None
    changes: dict[str, Any] = Field(default_factory=dict)
    seeds: Seeds | None = None


def read_row(row: str | Mapping[str, Any]) -> tuple[Any, RowFields]:
    """A row's defense, as it may be written anywhere, and what stands beside it.

    Raises:
        ValueError: what stands beside it is wrong, or changes what the study itself says.
    """
    if isinstance(row, str):
        return row, RowFields()
    names = field_names(RowFields)
    given = {name: row[name] for name in names if name in row}
    try:
        beside = validate(RowFields, given)
    except ValidationError as error:
        raise ValueError(f"{shown(row.get('name', row.get('preset')))}: {explain(error)}") from error
    check_changes([field for field in beside.changes if field != "final"])
    check_distinct(beside.seeds or ())
    return {key: value for key, value in row.items() if key not in names}, beside


def check_changes(changed: list[str]) -> None:
    """Refuse dotted fields that a study decides for each of its networks.

    Raises:
        ValueError: there is one among them.
    """
    for field in changed:
        section = next(iter(re.findall(r"[^.]+", field)), "")
        if section in OWN_FIELDS or not section:
            says = OWN_FIELDS.get(section, "no field at all")
            raise ValueError(f"changes: {shown(field)} cannot be among them; what says it is {says}")


def check_distinct(values: tuple[Any, ...]) -> None:
    """Refuse what would be done twice.

    Raises:
        ValueError: a value is there twice.
    """
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{shown(value)} is listed twice")
