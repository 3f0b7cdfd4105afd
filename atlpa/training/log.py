"""The training log: one JSON object per line, timing apart from what must be reproducible."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from atlpa.files import no_room, write_text
from atlpa.records.log import Line, read_log


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
        """Append one line. One that finds no room stays cut short, and is left out when the log is read."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(fields) + "\n")
        except OSError as error:
            raise no_room(error, self.path) or error from error

    def highest(self, field: str) -> float:
        """The highest value of what the looks at the validation part say; −1, which no share is, before the first."""
        return max((line["validation"].get(field, -1.0) for line in self.lines() if "validation" in line), default=-1.0)

    def lines(self) -> list[Line]:
        """Every complete line; one cut short by a crash is left out."""
        return read_log(self.path) if os.path.lexists(self.path) else []
