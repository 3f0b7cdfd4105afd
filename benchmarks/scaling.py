"""What several processes, micro-batches and many images cost: ``python -m benchmarks.scaling``.

Every measurement is made in processes of its own, in turns, so that a busy minute meets all of them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from atlpa import PGD
from atlpa.component import dump, validate
from atlpa.defenses import Defense, load_preset
from atlpa.evaluation.white_box import white_box
from atlpa.files import write_text
from atlpa.machine import describe
from atlpa.memory import keep_memory
from atlpa.models import ModelSpec
from atlpa.process_group import joined
from atlpa.progress import Progress
from atlpa.training import Recipe, training_step
from benchmarks.__main__ import FOLDER

BATCH, SIDE, STEPS = 16, 64, 6
DEVICE = torch.device("cpu")


def network(architecture: str, defense: Defense, side: int, classes: int = 17) -> torch.nn.Module:
    """As training has it."""
    model = defense.build(ModelSpec(architecture=architecture, weights="none"), classes, seed=0, size=side)
    return model.to(memory_format=torch.channels_last)


def steps() -> Mapping[str, float]:
    """Seconds of a training step of this process among those that share the batch, and its share of it."""
    defense = validate(Defense, load_preset("pat").fields)
    with joined() as here:
        model = network("resnet18", defense, SIDE)
        recipe = Recipe(batch_size=BATCH)
        optimizer, shared = recipe.make_optimizer(model), here.shared(model, DEVICE)
        own = len(here.rows(BATCH))
        images, labels = torch.rand(own, 3, SIDE, SIDE), torch.arange(own)
        taken = []
        for _ in range(STEPS + 2):
            here.largest(0)
            began = time.perf_counter()
            training_step(shared, defense, recipe.attack, optimizer, images, labels)
            here.largest(0)
            taken.append(time.perf_counter() - began)
    return {"seconds": statistics.median(taken[2:])}


def step_memory(micro_batch: str) -> Mapping[str, float]:
    """Peak memory of two steps of ATLPA at 224×224, beyond that of the network, its gradients and momentum."""
    defense = validate(Defense, load_preset("atlpa").fields)
    model = network("resnet50", defense, 224)
    recipe = Recipe(batch_size=BATCH)
    optimizer = recipe.make_optimizer(model)
    images, labels = torch.rand(BATCH, 3, 224, 224), torch.arange(BATCH)
    few = images[:1], labels[:1]
    training_step(model, defense, PGD(0.25, 0.125, 1), optimizer, *few)
    before, began = peak(), time.perf_counter()
    training_step(model, defense, recipe.attack, optimizer, images, labels, micro_batch=int(micro_batch))
    return {"megabytes": peak() - before, "seconds": time.perf_counter() - began}


class Noise:
    """So many images of noise that no memory holds: each is made when it is asked for."""

    def __init__(self, count: int) -> None:
        self.labels = torch.arange(count) % 10

    def __getitem__(self, positions: Tensor) -> Tensor:
        draws = torch.Generator().manual_seed(int(positions[0]))
        return torch.randint(256, (len(positions), 3, SIDE, SIDE), dtype=torch.uint8, generator=draws)

    def __len__(self) -> int:
        return len(self.labels)


class Lenient(torch.nn.Module):
    """A network that gets every third image of noise right, so that all of an attack is made on many."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network("resnet18", validate(Defense, load_preset("none").fields), SIDE, 10)

    def forward(self, images: Tensor) -> Tensor:
        return 0.01 * self.inner(images)


def evaluation_memory(count: str) -> Mapping[str, float]:
    """Peak memory of a white-box evaluation of so many images, beyond that before."""
    model = Lenient().eval()
    white_box(model, Noise(128), PGD(8 / 255, 2 / 255, 3), (1, 3))
    before, began = peak(), time.perf_counter()
    white_box(model, Noise(int(count)), PGD(8 / 255, 2 / 255, 3), (1, 3))
    return {"megabytes": peak() - before, "seconds": time.perf_counter() - began}


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


PARTS = {"steps": steps, "step_memory": step_memory, "evaluation_memory": evaluation_memory}


def measured(part: str, *arguments: str, processes: int = 1, threads: int = 1) -> list[Mapping[str, float]]:
    """What each of some processes measured."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "OMP_NUM_THREADS": str(threads), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    places = [{"RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    command = [sys.executable, "-m", "benchmarks.scaling", "--part", part, *arguments]
    begun = [subprocess.Popen(command, env={**shared, **place}, stdout=subprocess.PIPE, text=True) for place in places]
    return [json.loads(process.communicate()[0]) for process in begun]


def measure(rounds: int) -> dict[str, Any]:
    """All of it, in turns."""
    ways = {"1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1), "1 process, 1 thread": (1, 1)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    with Progress("scaling", rounds * len(ways) + 5, "measurement") as progress:
        for _ in range(rounds):
            for way, (processes, threads) in ways.items():
                found = measured("steps", processes=processes, threads=threads)
                seconds[way].append(max(one["seconds"] for one in found))
                progress.update()
        memory = {}
        for micro_batch in (16, 8, 4):
            memory[f"micro_batch {micro_batch}"] = measured("step_memory", str(micro_batch), threads=2)[0]
            progress.update()
        images = {}
        for count in (1_000, 10_000):
            images[f"{count} images"] = measured("evaluation_memory", str(count), threads=2)[0]
            progress.update()
    return {
        "machine": dump(describe(DEVICE)),
        "step": {"what": f"pat, ResNet-18 at {SIDE}, batch {BATCH}, two-step attack", "seconds": seconds},
        "step memory": {"what": f"atlpa, ResNet-50 at 224, batch {BATCH}, two-step attack", **memory},
        "evaluation memory": {"what": f"white-box PGD-3, ResNet-18 at {SIDE}", **images},
    }


def main() -> None:
    """Measure and write ``scaling.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    keep_memory()
    if options.part:
        print(json.dumps(PARTS[options.part[0]](*options.part[1:])))
        return
    found = measure(options.rounds)
    write_text(FOLDER / "scaling.json", json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
