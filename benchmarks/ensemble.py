"""The ensemble beside AutoAttack's own package: ``python -m benchmarks.ensemble RUNS --data-root DIR``.

On the same images of three kinds of networks: undefended at a small ε, adversarially trained, and one that draws. For
each seed both attack in turn; the record holds who stands after each, processor seconds and peak memory, so that images
that one fells and the other does not can be counted both ways. Where the machine computes in bfloat16, ours do too.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atlpa.attacks import Attack, AutoAttack, Ensemble
from atlpa.component import dump
from atlpa.data import load_images
from atlpa.engine import supported_precision
from atlpa.evaluation import evaluate
from atlpa.evaluation.correctness import to_batch
from atlpa.files import write_text
from atlpa.memory import keep_memory
from atlpa.model_state import RandomLayer
from atlpa.randomness import sample
from atlpa.runs import Run
from atlpa.runs.evaluate import judged_images
from benchmarks.__main__ import machine

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "ensemble"
CPU = torch.device("cpu")
NOISE = 8 / 255
"""Standard deviation of the noise that makes a network draw."""


def opened(folder: Path, root: str | None, count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A run's network, and so many of the images that it is judged on."""
    run = Run.open(folder).with_data_root(root)
    items, judged = judged_images(run, run.read_index(run.training.data), count)
    images = load_images(items, judged.size, CPU, folder.name)
    return run.load_model(CPU), *to_batch(images, torch.arange(len(images)), CPU)


def drawing(model: nn.Module) -> nn.Module:
    """The same network behind Gaussian noise."""
    noise = RandomLayer(lambda x, draws: x + NOISE * sample(x, torch.randn, draws), in_training=False)
    return nn.Sequential(noise, model).eval()


def contestants(epsilon: float, *, draws: bool) -> dict[str, Attack]:
    """AutoAttack, and ours in each version and precision."""
    precisions = ("fp32", "bf16") if supported_precision("bf16", CPU) == "bf16" else ("fp32",)
    versions = ("rand",) if draws else ("standard", "fast")
    found: dict[str, Attack] = {"AutoAttack": AutoAttack(epsilon)}
    for version in versions:
        found |= {f"{version} {precision}": Ensemble(epsilon, version, precision=precision) for precision in precisions}
    return found


def attacked(attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> dict[str, Any]:
    """Who stands, and what it cost."""
    begun, processor = time.monotonic(), time.process_time()
    result = evaluate(model, images, labels, attack, seed=seed, draws=5)
    return {
        "robust": ["".join("01"[value] for value in draw) for draw in result.robust[-1].int().tolist()],
        "felled_by": {title: len(places) for title, places in result.felled_by.items()},
        "passes": result.passes,
        "processor_seconds": round(time.process_time() - processor, 1),
        "seconds": round(time.monotonic() - begun, 1),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Attack, and write a record after each result."""
    keep_memory()
    parser = argparse.ArgumentParser(prog="benchmarks.ensemble", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("run", type=Path, help="a run's folder")
    add("--data-root", help="where its data lies")
    add("--eps", type=float, required=True, help="ε in 1/255")
    add("--count", type=int, default=64, help="images; default: %(default)s")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    add("--only", nargs="+", default=[], help="contestants; default: all")
    add("--noise", action="store_true", help="put noise before the network, so that it draws")
    add("--output", type=Path, default=FOLDER, help="default: docs/results/ensemble")
    arguments = parser.parse_args()
    model, images, labels = opened(arguments.run, arguments.data_root, arguments.count)
    if arguments.noise:
        model = drawing(model)
    name = f"{arguments.run.name}{'-noise' * arguments.noise}-eps{arguments.eps:g}"
    path, entries = arguments.output / f"{name}.json", []
    say: Callable[..., None] = print
    for seed in arguments.seeds:
        for title, attack in contestants(arguments.eps / 255, draws=arguments.noise).items():
            if arguments.only and title not in arguments.only:
                continue
            entries.append({"seed": seed, "attack": title, **attacked(attack, model, images, labels, seed)})
            last = entries[-1]
            say(f"seed {seed} {title}: {last['robust'][0].count('1')} stand, {last['processor_seconds']} s", flush=True)
            record = {
                "network": arguments.run.name,
                "noise": NOISE if arguments.noise else 0,
                "epsilon_255": arguments.eps,
                "images": arguments.count,
                "threads": torch.get_num_threads(),
                "machine": machine(CPU),
                "attacks": {title: dump(one) for title, one in contestants(1 / 255, draws=arguments.noise).items()},
                "results": entries,
            }
            arguments.output.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
