"""What is lost beside busy programs, by how OpenMP's threads wait: ``python -m benchmarks.neighbors``.

Two works are timed, each in two processes in turns, one of which waits as torch does by itself and one as our commands
do; on the machine as it is, which must be quiet, and beside programs that never wait.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from atlpa.cli.startup import wait_passively
from atlpa.component import dump
from atlpa.files import write_text
from atlpa.machine import describe
from atlpa.progress import Progress
from benchmarks.__main__ import FOLDER
from benchmarks.page import neighbors
from benchmarks.turns import Contestant, Worker

NAME = "atlpa fp32"
SETTINGS = {"contestant": NAME, "architecture": "resnet18", "side": 32, "device": "cpu"}
WORKS = {
    "step of training": Contestant(NAME, "training step", {**SETTINGS, "defense": "pat", "batch": 16}),
    "iteration of an attack, per image": Contestant(NAME, "iteration", {**SETTINGS, "batch": 64, "iterations": 3}),
}
WAYS = ("as torch does", "as our commands do")
REPEATED = 8
"""How often a work is done in a turn."""


def workers(work: Contestant) -> dict[str, Worker]:
    """One process for each way to wait; OpenMP reads the environment as it starts."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        os.environ.pop(name, None)
    first = Worker(work)
    wait_passively()
    return dict(zip(WAYS, (first, Worker(work)), strict=True))


def timed(worker: Worker) -> float:
    """Seconds of a work, by the mean of a turn."""
    return sum(float(worker.answer("turn")["seconds"]) for _ in range(REPEATED)) / REPEATED


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many programs that never wait."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def main() -> None:
    """Measure both ways, write the record and print what it says."""
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="neighbors", description=__doc__.splitlines()[0])
    parser.add_argument("--neighbors", type=int, default=cores, help="busy programs; default: one a core")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each way and state; default: %(default)s")
    arguments = parser.parse_args()
    states = {"quiet": 0, "busy": arguments.neighbors}
    rows: list[dict[str, Any]] = []
    with Progress("neighbors", len(WORKS) * len(WAYS) * 2 * arguments.rounds, "turn", keep=True) as progress:
        for work, contestant in WORKS.items():
            ways = workers(contestant)
            seconds: dict[str, dict[str, list[float]]] = {way: {state: [] for state in states} for way in ways}
            for worker in ways.values():
                timed(worker)  # what is first prepares what the others use
            for number in range(arguments.rounds):
                for state, count in states.items():
                    with busy(count):
                        for way in WAYS[:: 1 if number % 2 else -1]:
                            seconds[way][state].append(timed(ways[way]))
                            progress.update()
            for worker in ways.values():
                worker.end()
            rows += [{"work": work, "waits": way, **seconds[way]} for way in WAYS]
    machine = dump(describe(torch.device("cpu")))
    record = {"machine": machine, "cores": cores, "neighbors": arguments.neighbors, "rows": rows}
    write_text(FOLDER / "neighbors.json", json.dumps(record, indent=1) + "\n")
    print("\n".join(neighbors(record)))


if __name__ == "__main__":
    main()
