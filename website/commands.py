"""What each command says of itself under ``--help``."""

from __future__ import annotations

import contextlib
import importlib
import io
import os

COMMANDS = ("train", "eval", "study", "report", "analyze", "data", "export")


def help_of(command: str, *words: str) -> str:
    """The text of ``atlpa-<command> … --help``, in 100 columns."""
    main, said = importlib.import_module(f"atlpa.cli.{command}").main, io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return said.getvalue().rstrip()


def with_help(markdown: str) -> str:
    """A page whose ``<!-- help -->`` is what every command says."""
    asked = [(command,) for command in COMMANDS] + [("data", "fetch"), ("data", "check")]
    parts = [f"## atlpa-{' '.join(words)}\n\n```text\n{help_of(*words)}\n```" for words in asked]
    return markdown.replace("<!-- help -->", "\n\n".join(parts))
