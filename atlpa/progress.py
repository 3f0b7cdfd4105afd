"""What is told of long work: a bar on a terminal or in a notebook; elsewhere a line every ten seconds; and notes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from tqdm import tqdm

from atlpa.errors import one_line

INTERVAL = 10.0
"""Seconds between two lines where there is no bar."""

BYTES = "B"
"""The unit that is written as 1.2MB."""

Thing = TypeVar("Thing")

_quiet = False


def be_quiet() -> None:
    """Show nothing from here on."""
    _be(quiet=True)


@contextmanager
def silence() -> Iterator[None]:
    """Show nothing meanwhile."""
    before = _quiet
    try:
        _be(quiet=True)
        yield
    finally:
        _be(quiet=before)


def say(line: str) -> None:
    """Tell what is done, or what should be known of it, on standard output: a line that is no result."""
    if not _quiet:
        print(one_line(line))


def warn(line: str) -> None:
    """Tell on standard error what a result does without, so that it stands in no result that is piped on."""
    if not _quiet:
        print(one_line(line), file=sys.stderr)


def _be(*, quiet: bool) -> None:
    global _quiet  # noqa: PLW0603  # of the process, as its standard error is
    _quiet = quiet


def _draws_anew() -> bool:
    """Whether what standard error shows can be overwritten: on a terminal, and below a notebook's cell."""
    return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel.")


class Progress:
    """Shown on standard error from its making until its ``with`` ends.

    Lines come from a thread of their own, so that they go on while a single step takes minutes.

    Args:
        title: what is done.
        total: how many units there are, if that is known.
        unit: what is counted, in the singular.
        done: how many of them were done before.
        keep: leave the finished bar where it was.

    Fields:
        note: shown beside the numbers, such as the loss.
    """

    def __init__(self, title: str, total: int | None, unit: str, *, done: int = 0, keep: bool = False) -> None:
        self.note = ""
        self._title, self._total, self._unit = title, total, unit
        self._first = self._done = done
        self._began, self._ended = time.monotonic(), threading.Event()
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=title,
            unit=unit,
            unit_scale=unit == BYTES,
            leave=keep,
            disable=_quiet or not _draws_anew(),
        )
        self._lines = (
            threading.Thread(target=self._write_lines, daemon=True) if self._bar.disable and not _quiet else None
        )
        if self._lines:
            self._lines.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._lines:
            self._lines.join()
        self._bar.close()

    def update(self, count: int = 1) -> None:
        """Count units as done."""
        self._done += count
        self._bar.set_postfix_str(self.note, refresh=False)
        self._bar.update(count)

    def tell(self, note: str) -> None:
        """Show something else beside the numbers."""
        self.note = note
        self._bar.set_postfix_str(note)

    def over(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """The same things, each counted when the next is asked for."""
        with self:
            for thing in things:
                yield thing
                self.update()

    def _write_lines(self) -> None:
        while not self._ended.wait(INTERVAL):
            print(self._line(time.monotonic() - self._began), file=sys.stderr, flush=True)

    def _line(self, seconds: float) -> str:
        """What is known after some seconds; rate and time left are by the mean since the beginning."""
        numbers = [self._shown(number) for number in (self._done, self._total) if number is not None]
        parts = [f"{' of '.join(numbers)}{self._plural}", *([self.note] if self.note else [])]
        if count := self._done - self._first:
            rate = count / seconds
            parts.append(f"{self._shown(rate)}{self._plural}/s" if rate >= 1 else f"{1 / rate:.1f} s/{self._unit}")
            if self._total is not None:
                parts.append(f"{tqdm.format_interval((self._total - self._done) / rate)} left")
        return f"{self._title}: {', '.join(parts)}"

    @property
    def _plural(self) -> str:
        return "" if self._unit == BYTES else f" {self._unit}s"

    def _shown(self, number: float) -> str:
        if self._unit == BYTES:
            return tqdm.format_sizeof(number, BYTES)
        return str(number) if isinstance(number, int) else f"{number:.1f}"
