"""``split.json``: which image is in which part of a run, and which were left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from atlpa.data import PARTS, Index, Part
from atlpa.errors import UserError, reason
from atlpa.files import write_text


def write_split(path: Path, index: Index, skipped: Mapping[str, str]) -> None:
    """Write down what is trained and judged on.

    Args:
        path: the file.
        index: without the skipped images.
        skipped: names of unreadable images → what is wrong with them.
    """
    content = {"parts": index.listing(), "skipped": dict(skipped)}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_split(path: Path) -> Mapping[Part, Mapping[str, str]]:
    """The images of each part, name → class, as they were written down.

    Raises:
        UserError: the file is damaged.
    """
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))["parts"]
        return {part: dict(parts[part]) for part in PARTS}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path} does not hold the split ({reason(error)}); restore it") from error
