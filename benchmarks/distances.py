"""Distances beside foolbox's: ``python -m benchmarks.distances RUN … --data-root DIR``.

The nearest image that fools, from each of the same images: ours by the bisected PGD of ``--curve`` and by ``FMN``,
foolbox's by its own FMN, with as many steps; L∞ and L2. docs/distances.md shows the table that ``page`` draws from the
record, which has ``null`` where none was found.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atlpa.attacks import FMN
from atlpa.evaluation import distances
from atlpa.evaluation.distances import GRID, default_attack
from atlpa.files import write_text
from atlpa.memory import keep_memory
from atlpa.report import Table
from atlpa.statistics import median
from benchmarks.__main__ import machine
from benchmarks.ensemble import CPU, opened

RECORD = Path(__file__).parents[1] / "docs" / "results" / "distances" / "foolbox.json"
STEPS = 100
Nearest = Callable[[nn.Module, Tensor, Tensor], Tensor]


def theirs(norm: str) -> Nearest:
    """foolbox's FMN: per image how far, infinite where it finds nothing."""

    def nearest(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        import foolbox

        attack = {"Linf": foolbox.attacks.LInfFMNAttack, "L2": foolbox.attacks.L2FMNAttack}[norm](steps=STEPS)
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
        _, found, success = attack(wrapped, images, labels, epsilons=None)
        far = (found - images).flatten(1).norm(p={"Linf": torch.inf, "L2": 2}[norm], dim=1)
        return far.where(success, torch.inf)

    return nearest


def ours(attack: Any = None, epsilons: Sequence[float] | None = None) -> Nearest:
    """What ``--curve`` measures."""
    return lambda model, images, labels: distances(model, images, labels, attack, epsilons=epsilons).values


CONTESTANTS: dict[tuple[str, str], Nearest] = {
    ("Linf", f"foolbox FMN, {STEPS} steps"): theirs("Linf"),
    ("Linf", f"FMN, {STEPS} steps"): ours(FMN(1.0, STEPS)),
    ("Linf", "PGD, ε bisected"): ours(default_attack(), GRID["Linf"]),
    ("L2", f"foolbox FMN, {STEPS} steps"): theirs("L2"),
    ("L2", f"FMN, {STEPS} steps"): ours(FMN(100.0, STEPS, norm="L2")),
}


def page(record: Mapping[str, Any]) -> str:
    """A row for each network and contestant; *nearer* and *farther*: images by more than 1 % against foolbox's."""
    rows = []
    for network in record["networks"]:
        for norm in ("Linf", "L2"):
            results = [one for one in network["results"] if one["norm"] == norm]
            peer = _far(results[0])
            for one in results:
                pairs = [(a, b) for a, b in zip(_far(one), peer, strict=True) if b]
                nearer, farther = (sum(a * 1.01 < b for a, b in some) for some in (pairs, [(b, a) for a, b in pairs]))
                beside = ("–", "–") if one is results[0] else (str(nearer), str(farther))
                middle = f"{median(_far(one)).value:.4g}"
                rows.append((network["network"], norm, one["by"], middle, *beside, f"{one['processor_seconds']:.0f} s"))
    return Table(("network", "norm", "found by", "median", "nearer", "farther", "processor"), rows, left=3).markdown()


def _far(result: Mapping[str, Any]) -> list[float]:
    return [torch.inf if far is None else far for far in result["distances"]]


def main() -> None:
    """Measure, and write the record after each network."""
    keep_memory()
    parser = argparse.ArgumentParser(prog="benchmarks.distances", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument("--data-root", help="where its data lies")
    parser.add_argument("--count", type=int, default=64, help="images; default: %(default)s")
    arguments = parser.parse_args()
    networks = []
    for run in arguments.runs:
        model, images, labels = opened(run, arguments.data_root, arguments.count)
        results = []
        for (norm, by), nearest in CONTESTANTS.items():
            began = time.process_time()
            found = nearest(model, images, labels).tolist()
            taken = round(time.process_time() - began, 1)
            kept = [None if far == torch.inf else far for far in found]
            results.append({"norm": norm, "by": by, "distances": kept, "processor_seconds": taken})
        networks.append({"network": run.name, "images": arguments.count, "results": results})
        record = {"threads": torch.get_num_threads(), "machine": machine(CPU), "networks": networks}
        write_text(RECORD, json.dumps(record, indent=1) + "\n")
        print(page(record))


if __name__ == "__main__":
    main()
