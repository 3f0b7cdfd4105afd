"""Carry a plan out, as far as it is not done, and draw what is on record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from atlpa.experiment import Experiment
from atlpa.machine import pick_device
from atlpa.records import Evaluation
from atlpa.report import accuracy_curves, protocol, threat_table, tidy
from atlpa.runs import evaluate, train_run
from atlpa.studies.plan import Plan, training_state

Say = Callable[[str], None]


def carry_out(todo: Plan, stages: Sequence[str] = ("train", "evaluate"), say: Say = print) -> None:
    """Train and attack what is not done yet; each result is on disk as soon as it is there.

    Args:
        todo: the plan, or a shard of it.
        stages: ``train``, ``evaluate`` or both.
        say: told what is done, a line at a time.
    """
    if "train" in stages:
        for number, experiment in enumerate(todo.trainings, 1):
            if training_state(experiment) == "stale":
                say(f"{experiment.folder} holds another experiment; it is moved to {_put_aside(experiment)}")
            if training_state(experiment) != "done":
                say(f"[training {number} of {len(todo.trainings)}]")
                train_run(experiment, say)
    if "evaluate" in stages:
        waiting = 0
        for number, attack in enumerate(todo.attacks, 1):
            state = attack.state()
            waiting += state == "waits"
            if state == "to do":
                say(f"[attack {number} of {len(todo.attacks)}] {attack.title}")
                list(evaluate(attack.pairings(), attack.protocol, pick_device(attack.source.device)))
        if waiting:
            say(f"{waiting} attacks wait for networks that are not trained yet; the same command again goes on")


def draw(whole: Plan, folder: Path, say: Say = print) -> None:
    """Write ``table.md``, ``table.csv`` and ``curves.png`` from what is on record, and print the table.

    Args:
        whole: the plan, no shard of it.
        folder: where to.
        say: told the table.
    """
    records = [record for attack in whole.attacks for record in attack.records()]
    if not records:
        say("nothing is on record yet")
        return
    missing = sum(len(attack.targets) for attack in whole.attacks) - len(records)
    text = f"{threat_table(records).markdown()}\n{protocol(records)}{_circumstances(whole.trainings[0], records)}"
    if missing:
        text += f"{missing} measurements are not on record yet.\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(text, encoding="utf-8")
    (folder / "table.csv").write_text(tidy(records).csv(), encoding="utf-8")
    accuracy_curves(records).savefig(folder / "curves.png", dpi=150)
    say(f"\n{text}\n{folder}: table.md, table.csv, curves.png; records in {folder}/*/records/")


def _circumstances(experiment: Experiment, records: Sequence[Evaluation]) -> str:
    seeds = sorted({record.target.seed for record in records})
    machine = records[0].machine
    return (
        f"{experiment.training.iterations} training iterations, seed {', '.join(map(str, seeds))}; {machine.device}, "
        f"{machine.threads} thread(s), torch {machine.torch}.\n"
    )


def _put_aside(experiment: Experiment) -> Path:
    """Move a run that the study no longer means out of its way; nothing of it is mixed in or lost."""
    folder = experiment.folder
    digest = hashlib.sha256((folder / "experiment.yaml").read_bytes()).hexdigest()[:8]
    aside = folder.with_name(f"{folder.name}.stale-{digest}")
    folder.rename(aside)
    return aside
