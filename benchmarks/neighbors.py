"""What a command loses beside busy programs, by how OpenMP's threads wait: ``python -m benchmarks.neighbors``.

Training steps are timed in two processes in turns, one of which waits as torch does by itself and one as our commands
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

import torch

from atlpa.cli.startup import wait_passively
from atlpa.files import write_text
from atlpa.machine import describe
from atlpa.progress import Progress
from benchmarks.__main__ import FOLDER
from benchmarks.page import neighbors
from benchmarks.turns import Contestant, Worker

SETTINGS = {"contestant": "atlpa fp32", "defense": "pat", "architecture": "resnet18", "device": "cpu"}
STEP = Contestant("atlpa fp32", "training step", {**SETTINGS, "side": 32, "batch": 16})
STEPS = 10
"""Training steps in a turn."""


def workers() -> dict[str, Worker]:
    """One process for each way to wait; OpenMP reads the environment as it starts."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        os.environ.pop(name, None)
    made = {"as torch does": Worker(STEP)}
    wait_passively()
    return {**made, "as our commands do": Worker(STEP)}


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


def timed(worker: Worker) -> float:
    """Seconds of a training step, by the mean of a turn."""
    return sum(float(worker.answer("turn")["seconds"]) for _ in range(STEPS)) / STEPS


def main() -> None:
    """Measure both ways, write the record and print what it says."""
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="neighbors", description=__doc__.splitlines()[0])
    parser.add_argument("--neighbors", type=int, default=cores, help="busy programs; default: one a core")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each way and state; default: %(default)s")
    arguments = parser.parse_args()
    ways, programs = workers(), {"quiet": 0, "busy": arguments.neighbors}
    seconds: dict[str, dict[str, list[float]]] = {name: {state: [] for state in programs} for name in ways}
    for worker in ways.values():
        timed(worker)  # the first steps prepare what the others use
    with Progress("neighbors", 2 * len(ways) * arguments.rounds, "turn", keep=True) as progress:
        for number in range(arguments.rounds):
            for state, count in programs.items():
                with busy(count):
                    for name in list(ways)[:: 1 if number % 2 else -1]:
                        seconds[name][state].append(timed(ways[name]))
                        progress.update()
    for worker in ways.values():
        worker.end()
    machine = describe(torch.device("cpu")).model_dump()
    record = {"machine": machine, "cores": cores, "neighbors": arguments.neighbors, "seconds": seconds}
    write_text(FOLDER / "neighbors.json", json.dumps(record, indent=1) + "\n")
    print("\n".join(neighbors(record)))


if __name__ == "__main__":
    main()
