"""Errors a user can mend: one line that says what was given, what is allowed and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import ValidationError


class UserError(ValueError):
    """A mistake in the input, not in the program. Commands print it as one line and exit with status 2."""


class Interrupted(Exception):
    """Training was asked to stop by a signal, and has saved its state."""

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step, self.signal_number = step, signal_number


def reason(error: Exception) -> str:
    """The first line of a foreign error, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(": ")


def unknown_name(what: str, given: str, valid: Iterable[str]) -> str:
    """Say that ``given`` is no valid ``what``, with the nearest valid name if one is near, else all of them."""
    valid = list(valid)
    near = difflib.get_close_matches(given, valid, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(valid)}"
    return f"unknown {what} {given!r}; {hint}"


def explain(error: ValidationError, within: str = "") -> str:
    """One line for a pydantic error: where, what is wrong, what was given.

    Args:
        error: what pydantic raised.
        within: dotted path of the validated value itself, put before each location.
    """
    lines = []
    for detail in error.errors(include_url=False):
        place = ".".join([*([within] if within else []), *(str(part) for part in detail["loc"])])
        message = detail["msg"].removeprefix("Value error, ")
        given = detail["input"]
        shown = "" if detail["type"] in ("value_error", "missing") else f", given {given!r}"
        lines.append(f"{place}: {message}{shown}" if place else f"{message}{shown}")
    return "; ".join(lines)
