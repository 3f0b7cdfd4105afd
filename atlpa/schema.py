"""JSON Schema of YAML files, for editors: made from the components that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from atlpa.component import Component, plain_text
from atlpa.editors import Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def file_schema(kind: type[Component]) -> Schema:
    """What a YAML file of this kind may hold, parts of installed packages included; its name says ``name``.

    Args:
        kind: ``Experiment`` or ``Study``.
    """
    wanted: Any = kind
    whole = _tidy(TypeAdapter(wanted).json_schema())
    whole["required"] = [field for field in whole["required"] if field != "name"]
    return {"$schema": DIALECT, "title": f"atlpa {kind.__name__.lower()}", **whole}


def _tidy(schema: Any) -> Any:
    """Bounds under the names that JSON Schema has for them, and no titles, which repeat the fields' names."""
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {}
    for key, value in schema.items():
        if key == "title" and isinstance(value, str):
            continue
        verbatim = key in ("default", "enum", "const", "examples", "required")
        found[_BOUNDS.get(key, key)] = value if verbatim else _tidy(value)
    if found.get("type") == "array" and "minLength" in found:
        found["minItems"] = found.pop("minLength")
    if isinstance(found.get("description"), str):
        found["description"] = plain_text(found["description"].partition("\n\n")[0])
    return found
