"""What matrix products save in training on small images: ``python -m benchmarks.small_maps``.

The pass that is learned from, forward and backward, with torch's own convolutions and with those of small maps as
matrix products, in turns in one process. Processor seconds, since other programs may be running.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from atlpa.component import dump
from atlpa.engine import Precision, SmallMaps, supported_precision
from atlpa.files import write_text
from atlpa.machine import describe
from atlpa.memory import keep_memory
from atlpa.progress import Progress
from benchmarks.__main__ import FOLDER
from benchmarks.page import small_maps
from benchmarks.works import CLASSES, network, pattern

# Network, side and batch.
WORKS = [
    ("resnet18", 32, 32),
    ("resnet18", 64, 32),
    ("resnet18", 64, 128),
    ("resnet18", 96, 32),
    ("resnet18", 128, 16),
    ("resnet50", 64, 16),
]


def measured(architecture: str, side: int, batch: int, precision: Precision, rounds: int) -> dict[str, Any]:
    """Processor seconds of each round's pass, both ways."""
    images, labels = pattern(batch, side, torch.device("cpu")), torch.arange(batch) % CLASSES
    model = network(architecture, images).to(memory_format=torch.channels_last).train()
    seconds: dict[str, list[float]] = {"convolutions": [], "products": []}
    for turn in range(rounds + 1):
        for way in list(seconds)[:: 1 if turn % 2 else -1]:
            began = time.process_time()
            learn(model, images, labels, precision, products=way == "products")
            if turn:  # the first one settles memory
                seconds[way].append(time.process_time() - began)
    return {"work": f"{architecture} at {side}, batch {batch}, {precision}", **seconds}


def learn(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, precision: Precision, *, products: bool
) -> None:
    """One pass forward and backward."""
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, precision == "bf16"), SmallMaps() if products else nullcontext():
        logits = model(images)
    F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]


def main() -> None:
    """Measure all works, write the record and print what it says."""
    parser = argparse.ArgumentParser(prog="small_maps", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each way; default: %(default)s")
    arguments = parser.parse_args()
    keep_memory()
    device = torch.device("cpu")
    precisions: list[Precision] = ["fp32", "bf16"] if supported_precision("bf16", device) == "bf16" else ["fp32"]
    works = [(*work, precision) for precision in precisions for work in WORKS]
    rows = [
        measured(*work, rounds=arguments.rounds)
        for work in Progress("passes", len(works), "work", keep=True).over(works)
    ]
    record = {"machine": dump(describe(device)), "rows": rows}
    name = torch.backends.cpu.get_cpu_capability().lower()
    write_text(FOLDER / f"small-maps-{name}.json", json.dumps(record, indent=1) + "\n")
    print("\n".join(small_maps([record])))


if __name__ == "__main__":
    main()
