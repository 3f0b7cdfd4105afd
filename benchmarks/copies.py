"""Does a copy pay? Attacks of every size beside the plain loop: ``python -m benchmarks.copies``.

Each work takes both ways in turns in one process. With ONEDNN_MAX_CPU_ISA=AVX2 and ATEN_CPU_CAPABILITY=avx2 set
it is measured as on a processor without AVX-512; the record's name says so.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch

from atlpa.attacks import PGD
from atlpa.component import dump
from atlpa.engine import prepare
from atlpa.engine.frozen import Frozen
from atlpa.files import write_text
from atlpa.machine import describe
from atlpa.memory import keep_memory
from atlpa.progress import Progress
from benchmarks.__main__ import FOLDER
from benchmarks.page import copies
from benchmarks.works import CLASSES, network, pattern

# Network, side, batch and iterations: a training step's attack first, then evaluations.
WORKS = [
    ("resnet18", 32, 16, 2),
    ("resnet18", 32, 64, 2),
    ("resnet18", 32, 64, 40),
    ("resnet18", 64, 16, 2),
    ("resnet18", 64, 64, 2),
    ("resnet18", 64, 64, 20),
    ("resnet50", 64, 16, 2),
    ("resnet50", 224, 8, 10),
]


def measured(architecture: str, side: int, batch: int, iterations: int, rounds: int) -> dict[str, Any]:
    """Seconds of each round's attack on a copy, where there is one, and by the plain loop."""
    images, labels = pattern(batch, side, torch.device("cpu")), torch.arange(batch) % CLASSES
    model = network(architecture, images).to(memory_format=torch.channels_last)
    seconds: dict[str, list[float]] = {"auto": [], "reference": []}
    for turn in range(rounds + 1):
        for engine in list(seconds)[:: 1 if turn % 2 else -1]:
            attack = PGD(epsilon=0.25, step=1 / 256, iterations=iterations, engine=engine)  # type: ignore[arg-type]
            began = time.perf_counter()
            attack(model, images, labels)
            if turn:  # the first one settles memory, and compares the copy with the model
                seconds[engine].append(time.perf_counter() - began)
    copied = isinstance(prepare(model, images, "auto", "fp32", iterations), Frozen)
    work = f"{architecture} at {side}, batch {batch}, {iterations} iterations"
    return {"work": work, "copied": copied, **seconds}


def main() -> None:
    """Measure all works, write the record and print what it says."""
    parser = argparse.ArgumentParser(prog="copies", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each way; default: %(default)s")
    arguments = parser.parse_args()
    keep_memory()
    machine = dump(describe(torch.device("cpu")))
    rows = [
        measured(*work, rounds=arguments.rounds)
        for work in Progress("copies", len(WORKS), "work", keep=True).over(WORKS)
    ]
    record = {"machine": machine, "rows": rows}
    name = torch.backends.cpu.get_cpu_capability().lower()
    write_text(FOLDER / f"copies-{name}.json", json.dumps(record, indent=1) + "\n")
    print("\n".join(copies([record])))


if __name__ == "__main__":
    main()
