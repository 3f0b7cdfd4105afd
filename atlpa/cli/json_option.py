"""The option ``--json`` of every command: what it made or found, for programs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atlpa.cli.command import check_file, path
from atlpa.component import Component, dump
from atlpa.errors import UserError
from atlpa.files import write_text


def add_json_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup, what: str = "the records") -> None:
    """The option that ``as_json`` is told of."""
    text = f"also write {what} into one file, a JSON list; - for standard output, which then holds nothing else"
    parser.add_argument("--json", type=path, metavar="FILE", help=text)


@contextmanager
def as_json(given: str | None) -> Iterator[list[Any]]:
    """A list for a command's records, or other components and dataclasses; written once all else is done.

    With ``-`` whatever the command prints meanwhile goes to standard error, so that a program reads JSON alone.

    Raises:
        UserError: before anything is done, that the file cannot be written.
    """
    piped = given == "-"
    if given and not piped:
        check_file("--json", Path(given))
        _must_be_ours(Path(given))
    records: list[Any] = []
    with redirect_stdout(sys.stderr) if piped else nullcontext():
        yield records
    if given:
        if not piped:
            _must_be_ours(Path(given))  # what the command has just written is not
        text = json.dumps(
            [dump(record) if isinstance(record, Component) else asdict(record) for record in records],
            indent=1,
            ensure_ascii=False,
        )
        print(text) if piped else write_text(Path(given), f"{text}\n")


def _must_be_ours(file: Path) -> None:
    """Refuse to replace a file that is no JSON list."""
    if file.is_file() and file.stat().st_size:
        with file.open("rb") as there:
            if there.read(1) != b"[":
                raise UserError(f"--json {file}: there is another file of that name, which stays; give a new name")
