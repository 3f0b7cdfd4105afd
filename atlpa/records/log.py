"""Training logs as they are read: to go on with a training, and to draw its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atlpa.errors import UserError, one_line, reason
from atlpa.json_files import LARGEST, parse_json
from atlpa.plain_file import open_plain
from atlpa.records.checked import LARGEST_COUNT

Line = Mapping[str, Any]
"""A step, an evaluation of the validation part, or a look for collapse."""

GROUPS = ("terms", "validation", "collapse")
"""Fields of a line that hold numbers by name; the other numbers stand in the line itself."""


def read_log(path: Path) -> list[Line]:
    """The whole lines of a training log; one that a crash cut short, at the end, is left out.

    Raises:
        UserError: it cannot be read, or a line is none of a log.
    """
    try:
        with open_plain(path, LARGEST) as file:
            content = file.read()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    lines = []
    for number, line in enumerate(content.split(b"\n")[:-1], 1):  # what a crash left at the end may be anything
        try:
            lines.append(_checked(parse_json(line.decode())))
        except ValueError as error:
            raise UserError(
                f"{path} is damaged in line {number} ({reason(error)}); restore it from a backup, or remove it to go "
                "on without the lines so far"
            ) from error
    return lines


def _checked(line: Any) -> Line:
    if not (isinstance(line, dict) and type(line.get("step")) is int and 1 <= line["step"] <= LARGEST_COUNT):
        raise ValueError("it has no step")
    timing = line.get("timing", {"seconds": 0.0})
    seconds = timing.get("seconds") if isinstance(timing, dict) else None
    if not isinstance(seconds, int | float) or not seconds >= 0:
        raise ValueError("its seconds are none")
    if type(line.get("collapsed", False)) is not bool:
        raise ValueError("whether it collapsed is neither true nor false")
    numbers = {name: line.get(name) for name in ("learning_rate", "clean_accuracy", "adversarial_accuracy")}
    for group in GROUPS:
        named = line.get(group) or {}
        if not isinstance(named, dict):
            raise ValueError(f"{group} is no mapping")
        numbers |= named
    for name, value in numbers.items():
        if value is not None and (type(value) not in (int, float) or abs(value) > 1e38):
            raise ValueError(f"{one_line(name)} is no number")
    return line


def collapse_step(lines: Sequence[Line]) -> int | None:
    """The step at which a training's log says that it had collapsed."""
    return next((line["step"] for line in lines if line.get("collapsed")), None)
