"""The training log: one JSON object a line, timing apart from what must be reproducible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class TrainingLog:
    """``log.jsonl`` of a run.

    Args:
        path: the file; made when the first line is written.
        step: steps already taken; lines of later steps are dropped, for they will be taken again.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept = [line for line in self.lines() if line["step"] <= step]
        half = path.with_suffix(".half")
        half.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        half.replace(path)

    def write(self, **fields: Any) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """Every complete line; one cut short by a crash is left out."""
        if not self.path.exists():
            return []
        texts = self.path.read_text(encoding="utf-8").split("\n")
        return [json.loads(text) for text in texts[:-1]]
