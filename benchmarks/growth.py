"""How cost grows with images, iterations, batch, image side and targets: ``python -m benchmarks.growth``."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from atlpa.attacks import PGD
from atlpa.data.images import InMemory
from atlpa.engine import Precision
from atlpa.evaluation import transfer
from atlpa.files import write_text
from atlpa.memory import keep_memory
from benchmarks.__main__ import FOLDER
from benchmarks.works import CLASSES, Memory, network, pattern

ROUNDS = 3
CPU = torch.device("cpu")


def pixels(count: int, side: int) -> InMemory:
    """A data set of patterns."""
    images = (255 * pattern(count, side, CPU)).to(torch.uint8)
    return InMemory(images, torch.arange(count) % CLASSES)


def timed(work: Callable[[], object]) -> float:
    """The median of several, after one that is not counted."""
    work()
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def attacked(batch: int, side: int, iterations: int, precision: Precision) -> float:
    """Seconds of a PGD on one batch."""
    images = pattern(batch, side, CPU)
    model, labels = network("resnet18", images), torch.arange(batch) % CLASSES
    return timed(lambda: PGD(iterations=iterations, precision=precision)(model, images, labels))


def evaluated(images: int, targets: int, precision: Precision) -> float:
    """Seconds of a transfer evaluation with five iterations."""
    model, data = network("resnet18", pattern(16, 64, CPU)), pixels(images, 64)
    attack = PGD(iterations=5, precision=precision)
    return timed(lambda: transfer(model, {str(number): model for number in range(targets)}, data, attack, [5]))


def kept(batch: int, precision: Precision) -> float:
    """MiB of activations that one iteration keeps."""
    size = {"architecture": "resnet18", "side": 64, "batch": batch, "iterations": 1, "device": "cpu"}
    activations: int = Memory(f"atlpa {precision}", **size).facts()["activations"]
    return activations / 2**20


def curve(
    measure: Callable[[int, Precision], float], sizes: Sequence[int], power: int, unit: str, quantity: str
) -> dict[str, Any]:
    """Both precisions over several sizes."""
    line = "proportional" if power == 1 else "proportional to the square"
    values = {name: [measure(size, name) for size in sizes] for name in ("fp32", "bf16")}
    return {"sizes": list(sizes), **values, "power": power, "line": line, "unit": unit, "measure": quantity}


def main() -> None:
    """Measure every curve and write them."""
    keep_memory()
    curves = {
        "images": curve(lambda n, p: evaluated(n, 1, p), (64, 128, 256), 1, "images", "seconds"),
        "iterations": curve(lambda n, p: attacked(32, 64, n, p), (1, 2, 5, 10, 20), 1, "iterations", "seconds"),
        "batch": curve(lambda n, p: attacked(n, 64, 10, p), (1, 2, 4, 8, 16, 32, 64, 128), 1, "images", "seconds"),
        "side": curve(lambda n, p: attacked(8, n, 10, p), (32, 64, 128, 224), 2, "pixels", "seconds"),
        "targets": curve(lambda n, p: evaluated(64, n, p), (1, 2, 4, 8), 1, "targets", "seconds"),
        "memory": curve(kept, (1, 2, 4, 8, 16, 32, 64), 1, "images in a batch", "MiB"),
    }
    write_text(FOLDER / "growth.json", json.dumps(curves, indent=1) + "\n")


if __name__ == "__main__":
    main()
