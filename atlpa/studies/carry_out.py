"""Carry a plan out, as far as it is not done, and draw what is on record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from atlpa.experiment import Experiment
from atlpa.machine import pick_device
from atlpa.report import write_summary
from atlpa.runs import evaluate, train_run
from atlpa.studies.plan import Plan, training_state

Say = Callable[[str], None]


def carry_out(
    todo: Plan, stages: Sequence[str] = ("train", "evaluate"), say: Say = print, keep: Path | None = None
) -> None:
    """Train, attack and check what is not done yet; each result is on disk as soon as it is there.

    Args:
        todo: the plan, or a shard of it.
        stages: ``train``, ``evaluate`` or both.
        say: told what is done, a line at a time.
        keep: a folder for transferred images; those that lie there are shown again.
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
                list(evaluate(attack.pairings(), attack.protocol, pick_device(attack.source.device), keep=keep))
        for number, check in enumerate(todo.checks, 1):
            state = check.state()
            waiting += state == "waits"
            if state == "to do":
                say(f"[check {number} of {len(todo.checks)}] {check.title}")
                check.examination().make(pick_device(check.target.device))
        if waiting:
            say(f"{waiting} steps wait for networks that are not trained yet; the same command again goes on")


def draw(whole: Plan, folder: Path, say: Say = print) -> None:
    """Write ``table.md``, ``table.csv`` and ``curves.png`` from what is on record, and print the tables.

    Args:
        whole: the plan, no shard of it.
        folder: where to.
        say: told the tables.
    """
    records = [record for attack in whole.attacks for record in attack.records()]
    if not records:
        say("nothing is on record yet")
        return
    checks = [record for check in whole.checks for record in check.records()]
    say(f"\n{write_summary(records, folder, checks)}")
    wanted = sum(len(attack.targets) for attack in whole.attacks) + len(whole.checks)
    if missing := wanted - len(records) - len(checks):
        say(f"{missing} measurements are not on record yet")
    say(f"{folder}: table.md, table.csv, curves.png; records in {folder}/*/records/")


def _put_aside(experiment: Experiment) -> Path:
    """Move a run that the study no longer means out of its way; nothing of it is mixed in or lost."""
    folder = experiment.folder
    digest = hashlib.sha256((folder / "experiment.yaml").read_bytes()).hexdigest()[:8]
    aside = folder.with_name(f"{folder.name}.stale-{digest}")
    folder.rename(aside)
    return aside
