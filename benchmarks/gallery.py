"""What each attack leaves of broken and honest networks: ``python -m benchmarks.gallery``.

The networks are those of ``tests/gallery``. The judge's number is what the ensemble and the rivals together leave,
image by image; the strongest is what stands under everything that was tried, attacks by hand on the way in included.
Of a network that draws, whose images fall by chance, each number is the smallest of those of single attacks, judged by
most of five draws.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atlpa.attacks import APGD, PGD, Attack, AutoAttack, Ensemble
from atlpa.evaluation.checks import CheckContext
from atlpa.evaluation.checks.context import CheckedModel
from atlpa.evaluation.checks.rivals import DRAWS, RIVALS, Rival
from atlpa.files import write_text
from atlpa.float32 import ieee_float32
from atlpa.randomness import generator
from benchmarks.__main__ import machine
from tests.gallery.broken import BROKEN
from tests.gallery.honest import HONEST
from tests.gallery.training import EPSILON, digits

FILE = Path(__file__).parents[1] / "docs" / "results" / "gallery" / "numbers.json"
IMAGES = 64
SEEDS = 3
"""Of both ensembles, where ``fast`` leaves more than ``standard`` with the first; otherwise one is enough."""


def by_hand(way_in: nn.Module, context: CheckContext) -> list[Rival]:
    """Attacks on the way in."""
    step = EPSILON / 8
    plain = PGD(EPSILON, step, 80, loss="margin", engine="reference", eot=DRAWS if context.randomized else 1)
    attacks: list[Attack] = [
        plain,
        replace(plain, start="uniform"),
        replace(plain, loss="cross_entropy"),
        *(APGD(EPSILON, 60, loss="dlr", target=rank, engine="reference") for rank in range(1, 4)),
    ]
    return [Rival("by hand", CheckedModel(way_in), attack) for attack in attacks]


def judged(network: nn.Module, way_in: nn.Module) -> dict[str, Any]:
    """How many images of one network stand under each attack."""
    images, labels = (part[:IMAGES] for part in digits()[2:])
    context = CheckContext(CheckedModel(network), images, labels, EPSILON, None, [])
    standing: dict[str, Tensor] = {"clean": context.clean, "pgd": context.pgd_robust}
    seconds: dict[str, float] = {}

    def measure(name: str, attack: Callable[[], Tensor]) -> None:
        begun = time.process_time()
        standing[name] = attack()
        seconds[name] = round(time.process_time() - begun, 2)

    def shown(attack: Attack, seed: int) -> Callable[[], Tensor]:
        return lambda: (
            context.clean
            & context.right(
                context.model, attack(context.model, images, labels, generator=generator(seed, "gallery")), labels
            )
        )

    seeds = 0
    while seeds < SEEDS and (not seeds or standing["fast 0"].sum() > standing["standard 0"].sum()):
        measure(f"fast {seeds}", shown(Ensemble(EPSILON, version="fast"), seeds))
        measure(f"standard {seeds}", shown(Ensemble(EPSILON, version="standard"), seeds))
        seeds += 1
    measure("autoattack", shown(AutoAttack(EPSILON), 0))
    rivals = [rival for make in RIVALS for rival in make(context)]
    hands = by_hand(way_in, context)
    for rival in rivals:
        measure(rival.name, lambda rival=rival: rival.stands(context, context.clean))  # type: ignore[misc]
    for number, rival in enumerate(hands):
        measure(f"by hand {number}", lambda rival=rival: rival.stands(context, context.clean))  # type: ignore[misc]
    names = [rival.name for rival in rivals]

    def left(*chosen: str) -> int:
        masks = [standing[name] for name in chosen]
        if context.randomized:
            return min(int(mask.sum()) for mask in masks)
        return int(torch.stack(masks).all(dim=0).sum())

    return {
        "draws": context.randomized,
        "clean": left("clean"),
        "pgd": left("pgd"),
        "fast": [left(f"fast {seed}") for seed in range(seeds)],
        "standard": [left(f"standard {seed}") for seed in range(seeds)],
        "autoattack": left("autoattack"),
        "rivals": {name: left(name) for name in names},
        "by hand": left(*(f"by hand {number}" for number in range(len(hands)))),
        "fast and rivals": left("fast 0", *names),
        "standard and rivals": left("standard 0", *names),
        "strongest": left(*standing),
        "seconds": seconds,
    }


def main() -> None:
    """Measure what is not on record yet, and write it there."""
    parser = argparse.ArgumentParser(prog="benchmarks.gallery", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="networks with this in their name")
    parser.add_argument("--output", type=Path, default=FILE, help="default: docs/results/gallery/numbers.json")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    own = machine(torch.device("cpu"))
    kept = json.loads(arguments.output.read_text()) if arguments.output.exists() else {"networks": []}
    rows: list[dict[str, Any]] = kept["networks"]
    done = {row["name"] for row in rows}
    with ieee_float32(), torch.random.fork_rng():
        for name, make in [*BROKEN.items(), *HONEST.items()]:
            if arguments.only not in name or name in done:
                continue
            begun = time.process_time()
            torch.manual_seed(0)
            made = make()
            network, way_in = made if isinstance(made, tuple) else (made, made)
            rows.append({"name": name, "honest": name in HONEST, **judged(network, way_in)})
            rows[-1]["seconds"]["all"] = round(time.process_time() - begun, 1)
            print(rows[-1], flush=True)
            record = {
                "epsilon": EPSILON,
                "images": IMAGES,
                "networks": rows,
                "processor seconds": round(sum(row["seconds"]["all"] for row in rows)),
                "machine": own,
            }
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            write_text(arguments.output, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
