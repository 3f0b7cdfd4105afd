"""The parser of every command: help in groups with examples, ``--version``, ``--quiet`` and ``--completion``."""

from __future__ import annotations

import argparse
import difflib
import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from atlpa import __version__
from atlpa.errors import one_line

SHELLS = ("bash", "zsh", "tcsh")


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {one_line(message)}; {self._nearest(message)}see {self.prog} --help\n")

    def _nearest(self, message: str) -> str:
        """The option that was perhaps meant by one that there is none of."""
        found = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        near = difflib.get_close_matches(found[1], self._option_string_actions, n=1) if found else []
        return f"did you mean {near[0]}? " if near else ""


def command_parser(prog: str, does: str, examples: Sequence[str], *, more: str = "", quiet: bool = True) -> Parser:
    """A parser with what all commands have.

    Args:
        prog: the command.
        does: what it does, in a few sentences.
        examples: command lines, each with what it does after a ``#``.
        more: shown below them.
        quiet: whether it has progress or notes that ``--quiet`` leaves out.
    """
    width = shutil.get_terminal_size().columns - 2
    parts = [
        "examples:",
        *(f"  {example}" for example in examples),
        *(["", textwrap.fill(more, width)] if more else []),
    ]
    parser = Parser(
        prog=prog,
        description=textwrap.fill(does, width),
        epilog="\n".join(parts),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--completion",
        action=Completion,
        choices=SHELLS,
        help="print what makes this shell complete the command, and exit",
    )
    if quiet:
        add_quiet(parser)
    return parser


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """The option that ``run_command`` is told of."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes; only results and errors")


def suggest(option: argparse.Action, names: Iterable[str]) -> None:
    """Let shells complete an option to these names; it takes others too."""
    option.suggested = list(names)  # type: ignore[attr-defined]


class Completion(argparse.Action):
    """Print a shell's script for the command's options, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, _space: Any, values: Any, *_: Any) -> None:
        try:
            import shtab
        except ImportError:
            parser.error("--completion needs the package shtab: pip install 'atlpa[completion]'")
        for action in parser._actions:
            if names := getattr(action, "suggested", None):
                action.choices = names
            elif action.metavar in ("DIR", "RUN"):
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.metavar in ("FILE", "RECORDS"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        print(shtab.complete(parser, shell=values))
        parser.exit()
