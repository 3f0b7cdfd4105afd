"""The signals that ask a program to end, and what they do for a while."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, ``kill`` and batch systems, a terminal that is closed; Windows lacks the last."""

SIGNALS = tuple(number for number in signal.Signals if number.name in NAMES)


def caught() -> dict[int, Any]:
    """What each signal does now, without those that are ignored or cannot be caught.

    What is ignored stays so: a shell starts background jobs deaf to Ctrl-C, and ``nohup`` means what it says. Only the
    main thread can catch signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: does for number, does in found.items() if does not in (signal.SIG_IGN, None)}


def handle(handlers: Mapping[int, Any]) -> None:
    """Let each signal do what is said of it."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect the first signal that asks to end instead of dying of it; a second one acts as usual.

    Outside the main thread signals cannot be caught, and the list stays empty.
    """
    received: list[int] = []
    previous = caught()

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        # A closed terminal is told of twice, by the system and by the shell.
        handle({other: does for other, does in previous.items() if signal.Signals(other).name != "SIGHUP"})

    handle(dict.fromkeys(previous, note))
    try:
        yield received
    finally:
        handle(previous)
