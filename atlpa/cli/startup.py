"""What a command does before anything heavy is imported, and how it takes signals. Only the standard library here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM came while a command was at work."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def prepare() -> None:
    """Wait passively, and end in one line if a signal comes while imports take their seconds.

    An exception would not do: an import that is cut off may swallow it or turn it into another error.
    """
    wait_passively()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)


def wait_passively() -> None:
    """Let threads that wait for others soon leave the processor to whoever needs it; the user's own settings stand.

    OpenMP's threads spin otherwise: beside other programs they burn the time that the slowest of them needs. Those of
    libgomp, which torch's wheels for Linux bring, spin for some microseconds first, since small operations follow each
    other faster than a thread is woken. It reads this when torch is loaded. ``benchmarks/neighbors.py`` measures what
    it is worth.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
        os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise ``Stopped``. Outside the main thread signals cannot be caught."""
    previous = {}
    try:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, _stop)
    except ValueError:
        previous.clear()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)


def _end(number: int, _frame: FrameType | None) -> None:
    os.write(2, b"atlpa: interrupted\n")
    os._exit(128 + number)
