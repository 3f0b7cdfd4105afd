"""How soon a collapse is seen, false alarms, and what looking costs: ``python -m benchmarks.collapse``.

The truth is what many small steps leave of 200 held-out images that the watch never sees, looked at every 25 steps:
those that withstand the training attack and, at each of 40 steps of ε/16, PGD. Training has collapsed at the first of
three looks in a row that leave less than half of the best one so far, of at least 20 % (a constant answer has 10), and
of what the training attack leaves; what is over by then was a dip. Which images the watch has is drawn anew for each
seed, or one lucky choice would decide for all.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atlpa.attacks import PGD, Attack
from atlpa.cli.command import settings
from atlpa.data import Batches
from atlpa.defenses import Defense
from atlpa.evaluation import evaluate
from atlpa.evaluation.correctness import to_batch
from atlpa.experiment import Experiment, load
from atlpa.files import write_text
from atlpa.memory import keep_memory
from atlpa.model_state import eval_mode
from atlpa.processes import ALONE
from atlpa.randomness import generator
from atlpa.records.log import collapse_step
from atlpa.runs.prepare import prepare
from atlpa.training import (
    Checkpoint,
    Collapse,
    CollapseWatch,
    Recipe,
    SoundCheckpoint,
    TrainingLog,
    optimizer_state,
    train,
)
from benchmarks.__main__ import machine

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "collapse"
TRUTH_IMAGES, FLOOR, IN_A_ROW = 200, 0.2, 3
CLEAN = 100
"""Steps of clean training before."""


def small(classes: int, /, side: int = 16, width: int = 16) -> nn.Module:
    """Two convolutions with BatchNorm and two layers on top, for images of 16 pixels: seconds of training on a CPU."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * (side // 4) ** 2, 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )


@dataclass
class Timed(CollapseWatch):
    """A watch that knows how many processor seconds it took."""

    seconds: float = 0.0

    def after(self, step: int, attack: Attack) -> None:
        """As of every watch."""
        begun = time.process_time()
        super().after(step, attack)
        self.seconds += time.process_time() - begun


def one_training(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """Train once, with the watch and with the truth beside it."""
    prepared = prepare(experiment, None, lambda _: None, ALONE)
    recipe, defense, model, seed = experiment.training, experiment.defense, prepared.model, experiment.seed
    assert prepared.watched
    attack = defense.training_attack(recipe.attack)
    check = recipe.collapse or Collapse()
    shuffled = torch.randperm(len(prepared.watched), generator=torch.Generator().manual_seed(seed))
    truth_images, batch = (
        to_batch(prepared.watched, rows, prepared.device)
        for rows in shuffled[: TRUTH_IMAGES + check.images].split([TRUTH_IMAGES, check.images])
    )
    log = TrainingLog(folder / "log.jsonl", 0)

    def snapshot(step: int) -> Checkpoint:
        return Checkpoint(step, (), "", {}, model.state_dict(), optimizer_state(prepared.optimizer))

    watch = Timed(
        check,
        looks=recipe.iterations // check.every,
        seed=seed,
        model=model,
        batch=batch,
        log=log,
        sound=SoundCheckpoint(folder / "sound.pt", snapshot),
        say=print,
        advice="",
    )
    apart = 0.0

    def truth() -> dict[str, float]:
        nonlocal apart
        begun = time.process_time()
        images, labels = truth_images
        with eval_mode(model):
            trained = model(attack(model, images, labels, generator=generator(seed, "truth"))).argmax(dim=1) == labels
        standing = trained.clone()
        if trained.any():
            pgd = PGD(epsilon=attack.epsilon, step=attack.epsilon / 16, iterations=40)
            standing[trained] = evaluate(model, images[trained], labels[trained], pgd).robust.view(-1)
        apart += time.process_time() - begun
        return {"trained": trained.float().mean().item(), "pgd": standing.float().mean().item()}

    batches = Batches(prepared.images, recipe.batch_size, experiment.data.size, False, seed, prepared.device)

    def take(steps: Recipe, of: Defense, **watched: Any) -> None:
        options = {"first_step": 0, "log": None, "save": None, "validate": None, "title": f"seed {seed}", **watched}
        train(model, of, steps, prepared.optimizer, batches, seed, **options)

    # Few of these networks learn anything from large perturbations alone.
    take(replace(recipe, iterations=CLEAN), replace(defense, adversarial_fraction=0.0))
    begun = time.process_time()
    take(recipe, defense, log=log, validate=truth, collapse=watch)
    total = time.process_time() - begun - apart
    lines = log.lines()
    looks = {line["step"]: line["validation"] for line in lines if "validation" in line}
    return {
        "seed": seed,
        "collapsed": collapse_of(looks),
        "seen": collapse_step(lines),
        "looks": [{"step": step, **found} for step, found in looks.items()],
        "watch": [{"step": line["step"], **line["collapse"]} for line in lines if "collapse" in line],
        "seconds": {"training": round(total - watch.seconds, 2), "watch": round(watch.seconds, 3)},
    }


def collapse_of(looks: Mapping[int, Mapping[str, float]]) -> int | None:
    """The step at which training had truly collapsed."""
    best, low = 0.0, list[int]()
    for step, found in looks.items():
        best = max(best, found["pgd"])
        low = [*low, step] if best >= FLOOR and 2 * found["pgd"] < min(best, found["trained"]) else []
        if len(low) == IN_A_ROW:
            return low[0]
    return None


def summary(trainings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of one kind of training over its seeds."""
    truly = [one for one in trainings if one["collapsed"]]
    delays = [one["seen"] - one["collapsed"] for one in truly if one["seen"]]
    seconds = [one["seconds"] for one in trainings]
    return {
        "collapsed": len(truly),
        "seen within 100 steps": sum(delay <= 100 for delay in delays),
        "delays": sorted(delays),
        "false alarms": sum(bool(one["seen"]) for one in trainings if not one["collapsed"]),
        "share of time": round(sum(s["watch"] for s in seconds) / sum(s["training"] for s in seconds), 4),
    }


def main() -> None:
    """Measure one kind of training and write its record."""
    parser = argparse.ArgumentParser(prog="benchmarks.collapse", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of the record")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as atlpa-train")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10), metavar=("FIRST", "END"))
    parser.add_argument("--output", type=Path, default=FOLDER, help="default: docs/results/collapse")
    arguments = parser.parse_args()

    keep_memory()
    chosen = settings(arguments.set)
    fixed: list[tuple[str, Any]] = [
        ("defense", {"preset": "pat", "adversarial_fraction": 1.0}),
        ("model.architecture", "benchmarks.collapse:small"),
        ("model.weights", "none"),
        ("data.size", 16),
        ("data.resize", 18),
        ("training.validate_every", 25),
        ("training.batch_size", 32),
    ]
    make: Callable[[int], Experiment] = lambda seed: load("digits", [*fixed, *chosen, ("seed", seed)])  # noqa: E731
    trainings, own = [], machine(torch.device("cpu"))
    for seed in range(*arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            trainings.append(one_training(make(seed), Path(folder)))
        record = {
            "name": arguments.name,
            "settings": dict([*fixed, *chosen]),
            "summary": summary(trainings),
            "trainings": trainings,
            "machine": own,
        }
        arguments.output.mkdir(parents=True, exist_ok=True)
        write_text(arguments.output / f"{arguments.name}.json", json.dumps(record, indent=1) + "\n")
        print(seed, {key: trainings[-1][key] for key in ("collapsed", "seen", "seconds")}, flush=True)
    print(json.dumps(summary(trainings)))


if __name__ == "__main__":
    main()
