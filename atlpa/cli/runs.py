"""Which runs a command works on: those named, or the newest; what code of others they use is said."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from atlpa.cli.command import path
from atlpa.errors import UserError
from atlpa.progress import say
from atlpa.runs import Run, newest_run

RUNS = Path("runs")


def add_trust_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The option of commands that open runs which may be somebody else's."""
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="run code that a run names by its import path, such as a loss term my_pkg.losses:Focal; what installed "
        "packages announce as entry points needs no trust",
    )


def add_place_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The options of commands that measure trained networks: anew or not, on which data, where."""
    add = parser.add_argument
    add("--again", action="store_true", help="measure anew what is on record")
    add("--data-root", type=path, metavar="DIR", help="where the data set lies now")
    add("--device", default="auto", help="auto (CUDA where there is one), cpu, cuda …; default: auto")
    add_trust_option(parser)


def open_runs(folders: Sequence[str], *, trust_code: bool) -> list[Run]:
    """The runs in some folders, each once, with a note for each name that other packages' code has in them.

    Raises:
        UserError: a folder holds no run, or one whose code is not trusted.
    """
    runs = [Run.open(Path(folder), trust_code=trust_code) for folder in dict.fromkeys(folders)]
    for note in (note for run in runs for note in run.notes()):
        say(f"note: {note}")
    return runs


def chosen_runs(folders: Sequence[str], data_root: str | None, *, trust_code: bool) -> list[Run]:
    """The runs in some folders, or the newest finished one where none is named, with their data where it lies now.

    Raises:
        UserError: there is none, or it cannot be opened (see ``open_runs``).
    """
    if not folders:
        newest = newest_run(RUNS, trust_code=trust_code)
        if not newest:
            raise UserError(f"no finished run below {RUNS}/; train one with atlpa-train, or name the folder of one")
        say(f"newest finished run: {newest.folder}")
        folders = [str(newest.folder)]
    return [run.with_data_root(data_root) for run in open_runs(folders, trust_code=trust_code)]
