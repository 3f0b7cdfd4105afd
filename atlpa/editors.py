"""What an editor is told of a field where its type alone does not say it, as JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from atlpa.errors import UserError

Schema = dict[str, Any]

IMPORT_PATH: Schema = {"type": "string", "pattern": ":"}
"""A name of code from elsewhere: ``package.module:attribute``, or ``timm:NAME``."""


class Told:
    """Keywords of JSON Schema beside those that follow from a field's type."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return {**handler(core), **self.keywords}


class Or:
    """Another form in which a field may be written, as JSON Schema."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return {"anyOf": [self.keywords, handler(core)]}


@dataclass(frozen=True, eq=False)  # metadata of a type must have a hash, which a table has not
class NameIn:
    """A field that is one of the names in a table, or an import path.

    Fields:
        names: the table, asked when a schema is made.
    """

    names: Iterable[str]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        del core, handler
        return {"anyOf": [{"enum": list(self.names)}, IMPORT_PATH]}


@dataclass(frozen=True, eq=False)  # metadata of a type must have a hash, which a table has not
class ByName:
    """A field that is a mapping with the ``name`` of a component and its fields.

    Fields:
        names: the table of components.
        kind: name → class.
        default: the name that may be left out, if one may.
        without: fields that something else says.
    """

    names: Iterable[str]
    kind: Callable[[str], Any]
    default: str | None = None
    without: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        del core
        return self.schema(handler)

    def schema(self, handler: GetJsonSchemaHandler) -> Schema:
        """One alternative for each name, and an open one for import paths."""
        foreign: Schema = {"type": "object", "properties": {"name": IMPORT_PATH}, "required": ["name"]}
        return {"anyOf": [*(self._one(handler, name) for name in known(self.names, self.kind)), foreign]}

    def _one(self, handler: GetJsonSchemaHandler, name: str) -> Schema:
        whole = fields_of(self.kind(name), handler)
        own = {field: told for field, told in whole["properties"].items() if field not in ("name", *self.without)}
        required = [field for field in whole.get("required", ()) if field in own]
        needed = required if name == self.default else ["name", *required]
        return {**whole, "properties": {"name": {"const": name}, **own}, "required": needed}


class Options:
    """A field that is a mapping from names of components to their fields; ``null`` leaves one out.

    Args:
        kinds: the table, name → class.
    """

    def __init__(self, kinds: Mapping[str, Any]) -> None:
        self.kinds = kinds

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        del core
        found = known(self.kinds, self.kinds.__getitem__)
        options = {name: {"anyOf": [referred(kind, handler), {"type": "null"}]} for name, kind in found.items()}
        foreign = {IMPORT_PATH["pattern"]: {"type": ["object", "null"]}}
        return {"type": "object", "properties": options, "patternProperties": foreign, "additionalProperties": False}


def fields_of(component: Any, handler: GetJsonSchemaHandler) -> Schema:
    """The schema of a component written out, to be changed."""
    return dict(handler.resolve_ref_schema(referred(component, handler)))


def referred(component: Any, handler: GetJsonSchemaHandler) -> Schema:
    """The schema of a component, as a reference.

    A handler passes over what the type that it is given adds by itself, but not over what a list's items add.
    """
    items: Schema = handler(core_schema.list_schema(TypeAdapter(component).core_schema))["items"]
    return items


def known(names: Iterable[str], kind: Callable[[str], Any]) -> Mapping[str, Any]:
    """Name → class of all that can be had: a package that is installed and broken is left out."""
    found = {}
    for name in names:
        try:
            found[name] = kind(name)
        except UserError:
            continue
    return found
