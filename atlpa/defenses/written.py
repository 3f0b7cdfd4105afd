"""How a defense may be written in YAML: a preset's name, what overrides one, or a whole one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from atlpa.defenses.defense import Defense
from atlpa.defenses.preset import load_preset, preset_names
from atlpa.dotted import merged
from atlpa.editors import Schema, fields_of
from atlpa.errors import UserError


def read_defense(value: Any) -> Any:
    """Expand a preset's name, or a mapping that names a ``preset`` and overrides parts of it."""
    if isinstance(value, str):
        value = {"preset": value}
    if not isinstance(value, Mapping) or "preset" not in value:
        return value
    try:
        base = load_preset(str(value["preset"])).fields
    except UserError as error:
        raise ValueError(str(error)) from error
    return merged(base, {key: item for key, item in value.items() if key != "preset"})


class DefenseFields:
    """What an editor is told of a defense: a preset's name, what overrides one, or a whole one.

    Args:
        beside: further keys of a mapping, and what they hold.
    """

    def __init__(self, **beside: Schema) -> None:
        self.beside = beside

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        del core
        whole, names = fields_of(Defense, handler), {"enum": preset_names()}
        fields = {**whole, "properties": {**whole["properties"], **self.beside}}
        preset = {**fields, "properties": {"preset": names, **fields["properties"]}, "required": ["preset"]}
        return {"anyOf": [names, preset, fields]}


AnyDefense = Annotated[Defense, BeforeValidator(read_defense), DefenseFields()]
"""A field that holds a defense."""
