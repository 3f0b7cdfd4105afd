"""Experiments and studies as YAML files: a user's own, or those that come with the package."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from atlpa.errors import UserError, shown, unknown_name
from atlpa.files import read_text
from atlpa.strict_yaml import parse_yaml

LARGEST = 2**20
"""Bytes of a file."""


def shipped(folder: str = ".") -> dict[str, Path]:
    """Name → file, of those that come with the package: inside the wheel, or at the top of a checkout."""
    inside = Path(str(files("atlpa"))) / "configs"
    base = inside if inside.is_dir() else inside.parent.parent / "configs"
    return {path.stem: path for path in sorted((base / folder).glob("*.yaml"))}


def find(name: str, among: Mapping[str, Path], what: str) -> Path:
    """A file as given, or a shipped one by its name with or without ``.yaml``.

    Raises:
        UserError: there is neither; the nearest name is offered.
    """
    path = Path(name)
    if path.is_file():
        return path
    stem = name.removesuffix(".yaml")
    if stem in among:
        return among[stem]
    raise UserError(f"no file {shown(name)}, and {unknown_name(f'shipped {what}', stem, among)}")


def read(path: Path, what: str, keys: Collection[str]) -> dict[str, Any]:
    """The fields that a file holds, with the file's own name as ``name`` where it has none.

    Args:
        path: the file.
        what: what it should hold, for the message.
        keys: which keys that has.

    Raises:
        UserError: it cannot be read, is no YAML, or holds something else.
    """
    return fields_of(read_text(path, LARGEST), path, what, keys)


def fields_of(text: str, path: Path, what: str, keys: Collection[str]) -> dict[str, Any]:
    """Likewise, of a file whose text is known."""
    try:
        fields = parse_yaml(text)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(fields, dict):
        raise UserError(f"{path} holds no {what}: expected keys such as {', '.join(keys)}")
    fields.setdefault("name", re.sub(r"^\.|[^A-Za-z0-9_.+-]", "-", path.stem)[:80])
    return fields
