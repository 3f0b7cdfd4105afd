"""Training logs of unknown origin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atlpa.errors import UserError, one_line, reason
from atlpa.files import read_text
from atlpa.json_files import LARGEST, parse_json
from atlpa.records.checked import LARGEST_COUNT

Line = Mapping[str, Any]
"""A step, or an evaluation of the validation part."""

GROUPS = ("terms", "validation")
"""Fields of a line that hold numbers by name; the other numbers stand in the line itself."""


def read_log(path: Path) -> list[Line]:
    """The whole lines of a training log; one that a crash cut short, at the end, is left out.

    Raises:
        UserError: it cannot be read, or a line is none of a log.
    """
    lines = []
    for number, text in enumerate(read_text(path, LARGEST).split("\n")[:-1], 1):
        try:
            lines.append(_checked(parse_json(text)))
        except ValueError as error:
            raise UserError(f"{path} is damaged in line {number} ({reason(error)})") from error
    return lines


def _checked(line: Any) -> Line:
    if not (isinstance(line, dict) and type(line.get("step")) is int and 0 <= line["step"] <= LARGEST_COUNT):
        raise ValueError("no step")
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
