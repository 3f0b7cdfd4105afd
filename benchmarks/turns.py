"""Contestants take turns: each lives in a process of its own, as its users run it, and all are measured in one go."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from atlpa.progress import Progress

Settings = dict[str, Any]


@dataclass
class Contestant:
    """One contestant at one work.

    Fields:
        name: in the table.
        work: a function of ``works``.
        settings: its arguments.
        turns: what each turn measured.
        facts: what the worker found out before the first turn.
    """

    name: str
    work: str
    settings: Settings
    turns: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Worker:
    """A process that does one contestant's work whenever it is told to."""

    def __init__(self, contestant: Contestant) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", contestant.work, json.dumps(contestant.settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self, request: str) -> dict[str, Any]:
        """Wait for the answer to one request."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with status {self.process.wait()}; its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """Let the process end."""
        self.process.communicate()


class Here:
    """The same in this process, where everybody shares one memory."""

    def __init__(self, contestant: Contestant) -> None:
        from benchmarks.works import WORKS  # torch is not needed where workers have it

        self.work = WORKS[contestant.work](**contestant.settings)

    def answer(self, request: str) -> dict[str, Any]:
        """Do it."""
        answer: dict[str, Any] = self.work.facts() if request == "facts" else self.work.turn()
        return answer

    def end(self) -> None:
        """Nothing has to end."""


def compete(contestants: Sequence[Contestant], rounds: int, title: str, together: bool = False) -> None:
    """Fill in ``facts`` and ``turns``: every contestant once a round, in an order that moves on by one each round.

    Args:
        contestants: who.
        rounds: how often.
        title: beside the progress bar.
        together: in this one process instead of one each.
    """
    workers = [Here(contestant) if together else Worker(contestant) for contestant in contestants]
    try:
        with Progress(title, (rounds + 1) * len(workers), "turn", keep=True) as progress:
            for worker, contestant in zip(workers, contestants, strict=True):
                contestant.facts = worker.answer("facts")
                progress.update()
            for number in range(rounds):
                for place in range(len(workers)):
                    at = (place + number) % len(workers)
                    contestants[at].turns.append(workers[at].answer("turn"))
                    progress.update()
    finally:
        for worker in workers:
            worker.end()
