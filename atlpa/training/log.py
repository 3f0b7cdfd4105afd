"""The training log: one JSON object per line, timing apart from what must be reproducible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from atlpa.errors import UserError, reason
from atlpa.files import no_room, write_text
from atlpa.json_files import parse_json


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

    def lines(self) -> list[dict[str, Any]]:
        """Every complete line; one cut short by a crash is left out."""
        if not self.path.exists():
            return []
        if not self.path.is_file():  # a reader would wait at a pipe
            raise UserError(f"{self.path} is no plain file; remove it")
        texts = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        found = []
        for number, text in enumerate(texts[:-1], 1):
            try:
                found.append(_checked(parse_json(text)))
            except ValueError as error:
                raise UserError(
                    f"{self.path} is damaged in line {number} ({reason(error)}); restore it from a backup, or "
                    "remove it to go on without the lines so far"
                ) from error
        return found


def _checked(line: Any) -> dict[str, Any]:
    """A line, if it says what lines say.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(line, dict) or type(line.get("step")) is not int or line["step"] < 1:
        raise ValueError("it has no step")
    timing = line.get("timing", {"seconds": 0.0})
    seconds = timing.get("seconds") if isinstance(timing, dict) else None
    if not isinstance(seconds, int | float) or not seconds >= 0:
        raise ValueError("its seconds are none")
    return line
