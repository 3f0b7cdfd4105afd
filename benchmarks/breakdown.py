"""Where the time of one of our PGD iterations goes: ``python -m benchmarks.breakdown``."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from atlpa.engine import Precision, prepare
from atlpa.files import write_text
from atlpa.memory import keep_memory
from benchmarks.__main__ import FOLDER
from benchmarks.counting import operations
from benchmarks.floor import dense_rates
from benchmarks.works import CLASSES, network, pattern

CASES = (("resnet18", 64, 64), ("resnet50", 224, 8), ("resnet101", 224, 8))
REPEATS, TRIALS = 5, 4
GROUPS = {
    "convolutions": (
        "mkldnn::_convolution_pointwise",
        "mkldnn::_convolution_pointwise_",
        "mkldnn::_linear_pointwise",
        "aten::convolution_backward",
    ),
    "ReLU backwards": ("aten::threshold_backward",),
    "sums of gradients": ("aten::add", "aten::add_"),
    "pooling": ("aten::max_pool2d_with_indices", "aten::max_pool2d_with_indices_backward"),
}


class Stopwatch(TorchDispatchMode):
    """Seconds by operation. torch's profiler keeps memory for itself, which brings back the page faults."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        del types
        start = time.perf_counter()
        result = function(*arguments, **(options or {}))
        self.seconds[function._schema.name] += time.perf_counter() - start
        return result


def breakdown(architecture: str, side: int, batch: int, precision: Precision) -> dict[str, Any]:
    """Milliseconds per image and iteration by group, and the rate of the convolutions."""
    images = pattern(batch, side, torch.device("cpu"))
    labels, model = torch.arange(batch) % CLASSES, network(architecture, images)
    copy = prepare(model, images, "auto", precision, passes=200)

    def iterations() -> None:
        for _ in range(REPEATS):
            point = images.clone().requires_grad_(True)
            torch.autograd.grad(F.cross_entropy(copy(point), labels), point)

    def watched() -> tuple[float, Counter[str]]:
        with Stopwatch() as stopwatch:
            start = time.perf_counter()
            iterations()
            return time.perf_counter() - start, stopwatch.seconds

    iterations()
    whole, seconds = min((watched() for _ in range(TRIALS)), key=lambda trial: trial[0])
    scale = 1000 / REPEATS / batch
    parts = {name: scale * sum(seconds[key] for key in keys) for name, keys in GROUPS.items()}
    parts["the rest"] = scale * whole - sum(parts.values())
    rate = 2 * operations(model, images) / (parts["convolutions"] / 1000)
    name = f"{architecture} at {side}, batch {batch}"
    return {"network": name, "precision": precision, "milliseconds": parts, "rate": rate}


def main() -> None:
    """Take every case apart and write them."""
    keep_memory()
    rates = dense_rates(torch.device("cpu"))
    rows = [breakdown(*case, precision) for case in CASES for precision in rates]
    for row in rows:
        row["best"] = max(rates[row["precision"]].values())
    write_text(FOLDER / "breakdown.json", json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
