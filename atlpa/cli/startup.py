"""What a command does before anything heavy is imported, and how it takes signals. Only the standard library here."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from atlpa.cli.streams import keep_streams_usable, say
from atlpa.signals import SIGNALS, caught, handle


class Stopped(KeyboardInterrupt):
    """A signal that asks to end came while a command was at work."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def prepare() -> None:
    """Wait passively, print safely, and end in one line if a signal comes while imports take their seconds.

    An exception would not do: an import that is cut off may swallow it or turn it into another error. When the work is
    done and threads have ended, the interpreter takes itself apart and hears no signals.
    """
    keep_streams_usable()
    wait_passively()
    signals = caught()
    handle(dict.fromkeys(signals, _end))
    atexit.register(handle, dict.fromkeys(signals, signal.SIG_IGN))


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
    """Let the signals raise ``Stopped``, once; outside the main thread they cannot be caught.

    In a command a second one ends the process at once, without a second line where the first has had its own.
    """
    previous = caught()
    try:
        handle(dict.fromkeys(previous, _stop))
        yield
    except BaseException:
        previous = {number: _leave if before is _end else before for number, before in previous.items()}
        raise
    finally:
        handle(previous)


def leave(status: int) -> int:
    """End a command that was stopped, without waiting for threads that still read images; elsewhere only return."""
    if any(signal.getsignal(number) is _leave for number in SIGNALS):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _stop(number: int, _frame: FrameType | None) -> None:
    handle(dict.fromkeys(caught(), _end))
    raise Stopped(number)


def _end(number: int, _frame: FrameType | None) -> None:
    say("interrupted")
    os._exit(128 + number)


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)
