"""The whole paper by one command, which resumes wherever it was stopped: ``python -m scripts.paper small|full DATA``.

small: ResNet-18 at 64×64 on a CPU: Flowers-17 with every row, and the BMW models of Stanford Cars. full: the paper's
ResNet-101 at 224×224 on Flowers-17 and BMW-10, for GPUs. Trains, attacks, checks, analyzes and draws what is missing,
keeps the records (no weights, no images) in docs/results, and draws the tables of docs/results.md from them.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from atlpa.attacks import PGD
from atlpa.cli.study import main as run_study
from atlpa.errors import UserError
from atlpa.experiment import Experiment
from atlpa.records import Training
from atlpa.studies import Plan, load_study, plan
from scripts.race import pairs, passes_of
from scripts.results_page import DOCS, draw

STUDIES = {"small": ("flowers-small", "cars-small"), "full": ("flowers", "bmw")}
ROOTS = {"cars-small": "cars196-bmw"}
"""Where below DATA a study's images lie, if not there."""


def root_of(study: str, data: Path) -> Path:
    """The data set's folder."""
    return data / ROOTS.get(study, "")


def passes(todo: Plan) -> float:
    """Passes of an image forwards and backwards, counted as pairs, of the trainings and attacks whose cost is known.

    White-box attacks take fewer, since images leave as they fall. What the ensemble, checks and analyses take, which
    depends on the images, comes on top.
    """
    total = 0.0
    for step in todo.trainings:
        recipe = step.experiment.training
        total += passes_of(recipe, step.experiment.defense) or 0.0
    for attack in todo.attacks:
        part = attack.source.data.index().parts[attack.source.judged_part]
        if each := attack.protocol.attack.cost():
            total += len(part) * len(attack.sources) * pairs(each)
    return total


def seconds_of_a_pass(experiment: Experiment, classes: int) -> float:
    """One image forwards and backwards on this machine, by the second of two batches of four."""
    images = torch.rand(4, 3, experiment.data.size, experiment.data.size)
    model = experiment.model.build(classes, seed=0).eval()
    attack = PGD(8 / 255, 2 / 255, 1)
    taken = []
    for _ in range(2):
        began = time.monotonic()
        attack(model, images, torch.zeros(4, dtype=torch.long))
        taken.append(time.monotonic() - began)
    return taken[-1] / len(images)


def cost(study: str, data: Path) -> str:
    """What a study takes here, by a batch that is timed."""
    todo = plan(load_study(study), [("data.root", str(root_of(study, data)))])
    first = todo.trainings[0].experiment
    pairs, each = passes(todo), seconds_of_a_pass(first, len(first.data.index().classes))
    network = f"{first.model.architecture} at {first.data.size}×{first.data.size}"
    hours = pairs * each / 3600
    return (
        f"{study}: {len(todo.trainings)} trainings, {len(todo.attacks)} attacks: {pairs / 1e6:.1f} million passes of "
        f"an image through {network} and back; {each:.3f} s each here, {hours:.1f} hours, and checks and analyses"
    )


def keep(study: str) -> None:
    """Put a study's records, experiments, logs and tables where the pages are drawn from, of all that is trained."""
    made, kept = Path("runs") / study, DOCS / "results" / study
    for run in sorted(path.parents[1] for path in made.glob("*/records/training.json")):
        shutil.copytree(run / "records", kept / run.name / "records", dirs_exist_ok=True)
        shutil.copy(run / "log.jsonl", kept / run.name)
        experiment = _anywhere(yaml.safe_load((run / "experiment.yaml").read_text()))
        text = yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True)
        (kept / run.name / "experiment.yaml").write_text(text)
        trained = kept / run.name / "records" / "training.json"
        record = Training.load(trained)
        replace(record, experiment=_anywhere(record.experiment)).save(trained)
    drawn = (path for path in made.glob("*.png") if not path.name.startswith("attention"))  # those lie on photographs
    for file in (*made.glob("table.*"), *drawn):
        shutil.copy(file, kept)


def _anywhere(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment's fields without where this machine has the images; a folder of pictures keeps its name."""
    data = dict(experiment["data"])
    if "root" in data:
        data["root"] = Path(data["root"]).name if data["name"] == "folder" else None
    return {**experiment, "data": data}


def main(size: str, data: Path) -> int:
    """Do it, each study by itself; returns the exit status, 2 where one cannot be had here."""
    possible = []
    for study in STUDIES[size]:
        try:
            print(cost(study, data))
            possible.append(study)
        except UserError as error:
            print(f"{study}: {error}")
    if size == "full" and not torch.cuda.is_available():
        print("that needs a GPU, and there is none here; make paper-small is for a CPU")
        return 2
    for study in possible:
        if status := run_study([study, "--data-root", str(root_of(study, data))]):
            return status
        keep(load_study(study).name)
    if possible:
        draw()
    return 0 if len(possible) == len(STUDIES[size]) else 2


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in STUDIES:
        sys.exit((__doc__ or "").splitlines()[0])
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
