"""``split.json``: which image is in which part of a run, and which were left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atlpa.data import EXTRA, PARTS, Index
from atlpa.errors import UserError
from atlpa.files import write_text
from atlpa.json_files import read_json


def write_split(path: Path, index: Index, skipped: Mapping[str, str]) -> None:
    """Write down what is trained and judged on.

    Args:
        path: the file.
        index: without the skipped images.
        skipped: names of unreadable images → what is wrong with them.
    """
    content = {"parts": index.listing(), "skipped": dict(skipped)}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_split(path: Path) -> Mapping[str, Mapping[str, str]]:
    """The images of each part, name → class, as they were written down; extra ones, if there are any, beside them.

    Raises:
        UserError: the file is damaged.
    """
    parts = _content(path).get("parts")
    if not isinstance(parts, dict) or parts.keys() - {EXTRA} != set(PARTS) or not all(map(_is_listing, parts.values())):
        raise UserError(f"{path} does not hold which image is in which of {', '.join(PARTS)}; restore it from a backup")
    return parts


def read_skipped(path: Path) -> Mapping[str, str]:
    """The images that were left out, name → what was wrong with them, as they were written down.

    Raises:
        UserError: the file is damaged.
    """
    skipped = _content(path).get("skipped", {})
    if not _is_listing(skipped):
        raise UserError(f"{path} does not hold which images were skipped; restore it from a backup")
    return dict(skipped)


def _content(path: Path) -> Mapping[str, Any]:
    content = read_json(path, "split")
    return content if isinstance(content, dict) else {}


def _is_listing(part: object) -> bool:
    return isinstance(part, dict) and all(isinstance(label, str) for label in part.values())
