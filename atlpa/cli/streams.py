"""Standard output and error that end no work: whatever becomes of them, the command goes on to its end."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any


def keep_streams_usable() -> None:
    """Let what is printed be lost where it cannot be written, and be spelled out where it cannot be encoded.

    A stream that was closed when the process began leads to nowhere: its number would go to the next file that is
    opened, and what is printed into that.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):  # nobody has put another in its place
            text = io.TextIOWrapper(
                io.BufferedWriter(_Unbreakable(number, "wb", closefd=False)),
                encoding=getattr(stream, "encoding", "utf-8"),
                errors="backslashreplace",
                line_buffering=True,  # a pipe, too, is told at once
            )
            setattr(sys, name, text)


class _Unbreakable(io.FileIO):
    """The descriptor of a stream; says once why it cannot be written, unless its reader simply has enough."""

    failed = False

    def write(self, content: Any) -> int:
        """Write what can be written; the rest counts as written too."""
        try:
            return super().write(content) or len(content)
        except OSError as error:
            if not self.failed and self.fileno() == 1 and error.errno != errno.EPIPE:
                say(f"standard output cannot be written ({error.strerror}); the work goes on without it")
            self.failed = True
            return len(content)


def say(line: str) -> None:
    """One line on standard error, if there is one."""
    with suppress(OSError):
        os.write(2, f"atlpa: {line}\n".encode())
