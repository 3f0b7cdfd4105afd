"""What every command shares: how its arguments are read, and how errors reach a user."""

from __future__ import annotations

import argparse
import io
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from atlpa.cli.startup import Stopped, leave, stoppable
from atlpa.errors import Interrupted, UserError, explain, one_line, shown
from atlpa.field_types import parse_number
from atlpa.files import unwritable_file
from atlpa.memory import keep_memory
from atlpa.progress import silence
from atlpa.strict_yaml import parse_yaml


def number(text: str) -> float:
    """An argument such as 0.25 or 64/256."""
    try:
        return float(parse_number(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def path(text: str) -> str:
    """An argument that names a file or a folder, which an unset variable of a shell does not."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{shown(text)} names no file and no folder")
    return text


def count(text: str) -> int:
    """An argument of at least 1."""
    if not _is_whole(text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no count; give a whole number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """An argument of at least 0."""
    if not _is_whole(text):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no seed; give a whole number from 0 to 10¹⁸")
    return int(text)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18


def settings(texts: Sequence[str], option: str = "--set") -> list[tuple[str, Any]]:
    """The FIELD=VALUE arguments of ``--set``, or of an option like it, as (dotted field, value).

    Raises:
        UserError: one of them is none.
    """
    found = []
    example = "training.iterations=100" if option == "--set" else "steps=100"
    for text in texts:
        field, equals, value = text.partition("=")
        if not equals or not field:
            raise UserError(f"{option} {shown(text)} is no FIELD=VALUE; write for example {example}")
        try:
            found.append((field, parse_yaml(value)))
        except ValueError as error:
            raise UserError(f"{option} {field}: {shown(value)} is no YAML value ({error})") from error
    return found


def check_file(option: str, file: Path) -> None:
    """Refuse, before anything is done, a file that cannot be written at the end.

    Raises:
        UserError: what stands in the way.
    """
    if not file.absolute().parent.is_dir():
        raise UserError(f"{option} {file}: its folder does not exist; make it first")
    if problem := unwritable_file(file):
        raise UserError(f"{option} {file} cannot be written: {problem}")


def run_command(name: str, work: Callable[[], int | None], *, quiet: bool = False) -> int:
    """Run a command's work and return its exit status: 0, or what the work returns.

    A mistake in the input is one line on standard error and status 2; a signal is status 128 + its number. ``quiet``
    leaves out progress and notes.
    """
    keep_memory()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        with stoppable(), silence() if quiet else nullcontext():
            return work() or 0
    except UserError as error:
        message = str(error)
    except ValidationError as error:
        message = explain(error)
    except OSError as error:
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except Interrupted as interruption:
        print(f"saved after step {interruption.step}; the same command again resumes", file=sys.stderr)
        return leave(128 + interruption.signal_number)
    except KeyboardInterrupt as stop:
        print(f"{name}: interrupted; what is finished is kept", file=sys.stderr)
        return leave(128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT))
    print(f"{name}: {one_line(message)}", file=sys.stderr)
    return 2
