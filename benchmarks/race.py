"""Processor time of the race's trainings: ``python -m benchmarks.race``.

One step of every row of the studies in turns, in one process with one thread: attack, learning, the optimizer and
average, on images of the studies' size. What a training takes is the median step times the steps. Processor seconds,
since other programs may be running.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from atlpa.component import dump
from atlpa.experiment import Experiment
from atlpa.files import write_text
from atlpa.machine import describe
from atlpa.memory import keep_memory
from atlpa.progress import Progress
from atlpa.studies import load_study
from atlpa.training import AveragedModel, training_step
from benchmarks.works import CLASSES, pattern

STUDIES = ("flowers-race", "flowers-race-today")
RECORD = Path(__file__).parents[1] / "docs" / "results" / "flowers-race" / "seconds.json"
SETTLING = 2
"""Steps of each before the first that counts."""


def step_of(experiment: Experiment) -> Callable[[], None]:
    """One step of a training in its middle, on the same batch every time."""
    recipe, defense = experiment.training, experiment.defense
    model = experiment.model.build(CLASSES, seed=0).to(memory_format=torch.channels_last)
    images = pattern(recipe.batch_size, experiment.data.size, torch.device("cpu"))
    labels = torch.arange(recipe.batch_size) % CLASSES
    optimizer, attack = recipe.make_optimizer(model), defense.training_attack(recipe.attack)
    average = AveragedModel(model, recipe.averaging, 0) if recipe.averaging else None
    draws = torch.Generator().manual_seed(0)

    def step() -> None:
        training_step(model, defense, attack, optimizer, images, labels, draws, precision=recipe.precision)
        if average:
            average.update(model, recipe.iterations // 2)

    return step


def main() -> None:
    """Measure all rows and write the record."""
    parser = argparse.ArgumentParser(prog="benchmarks.race", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each training; default: %(default)s")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    experiments = {
        experiment.defense.name: experiment
        for study in map(load_study, STUDIES)
        for experiment in (study.experiment(row, 0, []) for row in study.defenses)
    }
    steps = {name: step_of(experiment) for name, experiment in experiments.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    turns = range(SETTLING + arguments.rounds)
    for turn in Progress("turns", len(turns), "turn", keep=True).over(turns):
        for name, step in steps.items():
            began = time.process_time()
            step()
            if turn >= SETTLING:
                seconds[name].append(time.process_time() - began)
    rows = {
        name: {
            "steps": experiment.training.iterations,
            "seconds of a step": [round(one, 4) for one in seconds[name]],
            "minutes": round(statistics.median(seconds[name]) * experiment.training.iterations / 60, 2),
        }
        for name, experiment in experiments.items()
    }
    write_text(RECORD, json.dumps({"machine": dump(describe(torch.device("cpu"))), "rows": rows}, indent=1) + "\n")
    for name, row in rows.items():
        print(f"{name:32} {row['minutes']:6.1f} minutes")


if __name__ == "__main__":
    main()
