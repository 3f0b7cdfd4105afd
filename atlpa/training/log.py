"""The training log: one JSON object per line, timing apart from what must be reproducible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atlpa.errors import UserError
from atlpa.files import write_text


class TrainingLog:
    """``log.jsonl`` of a run. What cannot be read back is refused with a ``UserError``.

    Args:
        path: the file; made when the first line is written.
        step: steps already taken; lines of later steps are dropped, for they will be taken again.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept = [line for line in self.lines() if line["step"] <= step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, **fields: Any) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """Every complete line; one cut short by a crash is left out."""
        if not self.path.exists():
            return []
        texts = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        try:
            lines: list[dict[str, Any]] = [json.loads(text) for text in texts[:-1]]
            if all(isinstance(line["step"], int) for line in lines):
                return lines
        except (ValueError, KeyError, TypeError):
            pass
        raise UserError(f"{self.path} is damaged; remove the run's folder to train anew")
