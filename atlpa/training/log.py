"""The training log: one JSON object per line, timing apart from what must be reproducible."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from atlpa.files import no_room, write_text
from atlpa.records.log import Line, read_log


class Look(NamedTuple):
    """What a look at the validation part found.

    Fields:
        step: after how many steps.
        value: the share.
    """

    step: int
    value: float


class TrainingLog:
    """``log.jsonl`` of a run. What cannot be read back is refused with a ``UserError``.

    Args:
        path: the file; made when the first line is written.
        step: steps already taken; lines of later steps are dropped, for they will be taken again.
        note: is told of each line that is written.
    """

    def __init__(self, path: Path, step: int, note: Callable[[Line], None] | None = None) -> None:
        self.path, self._note = path, note
        kept = [line for line in self.lines() if line["step"] <= step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, **fields: Any) -> None:
        """Append one line. One that finds no room stays cut short, and is left out when the log is read."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(fields) + "\n")
        except OSError as error:
            raise no_room(error, self.path) or error from error
        if self._note:
            self._note(fields)

    def best(self, field: str) -> Look | None:
        """The look at the validation part with the highest value of a field, the earliest of equals."""
        named = ((line["step"], line.get("validation", {}).get(field)) for line in self.lines())
        looks = [Look(step, value) for step, value in named if value is not None]
        return max(looks, key=lambda look: (look.value, -look.step), default=None)

    def lines(self) -> list[Line]:
        """Every complete line; one cut short by a crash is left out."""
        return read_log(self.path) if os.path.lexists(self.path) else []
