"""Sections inside sections, whose fields are named with dots: ``training.attack.epsilon``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from atlpa.errors import UserError, shown

# The parts of a dotted field; a loss term's import path is one: ``defense.terms.my_pkg.losses:Focal.weight``.
_PARTS = re.compile(r"(?<=\bterms\.)[\w.]+:\w+|[^.]+")


def set_field(fields: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a dotted field; a section given as a bare name (``defense: atlpa``) becomes a mapping with that preset.

    Raises:
        UserError: what should be a section is a value.
    """
    if not all(dotted.split(".")):
        raise UserError(f"--set {dotted}: no field is called so; write section.field")
    *sections, last = _PARTS.findall(dotted)
    for section in sections:
        inner = fields.get(section)
        if inner is None:
            inner = {}
        elif isinstance(inner, str) and section == "defense":
            inner = {"preset": inner}
        elif not isinstance(inner, dict):
            raise UserError(f"--set {dotted}: {section} is the value {inner!r}, not a section")
        fields[section] = dict(inner)
        fields = fields[section]
    fields[last] = value


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` put over it, mapping by mapping."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def flattened(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted field → value, of every field that is no section."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Where two flat mappings differ: each key with both values; empty if they agree."""
    keys = [key for key in sorted(there.keys() | here.keys()) if there.get(key) != here.get(key)]
    sections = dict.fromkeys(_lacking(key, there, here) for key in keys)
    return ", ".join(f"{key} ({_value(there, key)} there, {_value(here, key)} now)" for key in sections)


def _lacking(key: str, *sides: Mapping[str, Any]) -> str:
    """The outermost section of a key that one of the sides has nothing of; the key itself where both have all."""
    parts = key.split(".")
    for section in (".".join(parts[:count]) for count in range(1, len(parts))):
        if not all(any(name.startswith(f"{section}.") for name in side) for side in sides):
            return section
    return key


def _value(side: Mapping[str, Any], key: str) -> str:
    """Of a field, or of a section by its name or at all."""
    inside = any(name.startswith(f"{key}.") for name in side)
    return shown(side.get(f"{key}.name", "set") if inside else side.get(key))
