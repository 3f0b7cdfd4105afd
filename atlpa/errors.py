"""Errors a user can mend: one line that says what was given, what is allowed and what to do."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MOST = 6
"""Wrong fields that one message names."""


class UserError(ValueError):
    """A mistake in the input, not in the program. Commands print it as one line and exit with status 2."""


class PlaceTaken(UserError):
    """Something else is in a place, or somebody is at work there.

    Fields:
        problem: what; the message adds what a command of one run can do, and others have advice of their own.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem}; {advice}")
        self.problem = problem


class Interrupted(Exception):
    """Training was asked to stop by a signal, and has saved its state."""

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step, self.signal_number = step, signal_number


def reason(error: Exception) -> str:
    """The first line of a foreign error, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(": ")


def shown(value: object, most: int = 80) -> str:
    """What was given, cut to what a line can hold."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = most
    try:
        text = short.repr(value)
    except Exception:  # of a stranger's __repr__, or an integer of more digits than Python writes
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def writable(text: str) -> bool:
    """Whether a text can be the name of a file and stand in one: no NUL, no half of a sign."""
    return not re.search("[\0\ud800-\udfff]", text)


def one_line(text: str, most: int = 1000) -> str:
    """A message as one line that a terminal shows as it is: unprintable signs escaped, the middle of a long one cut."""
    text = " ".join(text.split())
    text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def unknown_name(what: str, given: object, valid: Iterable[str]) -> str:
    """Say that ``given`` is no valid ``what``, with the nearest valid name if one is near, else all of them."""
    valid = list(valid)
    near = difflib.get_close_matches(str(given)[:80], valid, n=1, cutoff=0.5) if isinstance(given, str) else []
    hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(valid)}"
    return f"unknown {what} {shown(given)}; {hint}"


def _places(error: ValidationError) -> list[tuple[tuple[int | str, ...], ErrorDetails]]:
    """What is wrong, each with its dotted place as it is written.

    Where fields or a word may be given, pydantic names the two kinds in the place, and where fields were given misses
    the word as well.
    """
    details = error.errors(include_url=False)
    kinds = {detail["loc"][:-1] for detail in details if str(next(reversed(detail["loc"]), "")).startswith("literal[")}
    found = []
    for detail in details:
        where = detail["loc"]
        either = next((place for place in kinds if where[: len(place)] == place), where)
        if len(where) > len(either):
            if str(where[len(either)]).startswith("literal[") and isinstance(detail["input"], Mapping):
                continue
            where = (*either, *where[len(either) + 1 :])
        found.append((where, detail))
    return found


def explain(error: ValidationError, within: str = "") -> str:
    """One line for a pydantic error: where, what is wrong, what was given.

    Args:
        error: what pydantic raised.
        within: dotted path of the validated value itself, put before each location.
    """
    lines = []
    details = _places(error)
    for where, detail in details[:MOST]:
        place = ".".join([*([within] if within else []), *(str(part)[:80] for part in where)])
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "dataclass_type":
            message = "Input should be its fields, as a mapping"
        given = "" if detail["type"] in ("value_error", "missing") else f", given {shown(detail['input'])}"
        lines.append(f"{place}: {message}{given}" if place else f"{message}{given}")
    more = [f"and {len(details) - MOST} more"] if len(details) > MOST else []
    return "; ".join([*lines, *more])
