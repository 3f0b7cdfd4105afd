"""Carry a plan out, as far as it is not done, and draw what is on record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from atlpa.experiment import Experiment
from atlpa.machine import pick_device
from atlpa.report import Results, collect, write_report
from atlpa.runs import ANALYSES, Run, evaluate, save_attention, train_run
from atlpa.runs.lock import LOCK, run_lock
from atlpa.studies.plan import Plan
from atlpa.studies.steps import training_state

Say = Callable[[str], None]
ATTENTION_IMAGES = 3


def execute(
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
        for analysis in todo.analyses:
            state = analysis.state()
            waiting += state == "waits"
            if state == "to do":
                say(f"[{analysis.title}]")
                made = analysis.analyses()
                list(made.execute(analysis.kinds))
                if "attention" in analysis.study.analyses:
                    save_attention(made.shown_images, ATTENTION_IMAGES, analysis.targets[0].folder.parent)
        if waiting:
            say(f"{waiting} steps wait for networks that are not trained yet; the same command again goes on")


def draw(whole: Plan, folder: Path, say: Say = print) -> None:
    """Write the report (``index.html``, tables, figures) from what is on record, and print the tables.

    Args:
        whole: the plan, no shard of it.
        folder: where to.
        say: told the tables.
    """
    records = [record for attack in whole.attacks for record in attack.records()]
    checks = [record for check in whole.checks for record in check.records()]
    if not records:
        say("nothing is on record yet")
        return
    trained = [Run.open(e.folder) for e in whole.trainings if training_state(e) == "done"]
    analyses = [
        record
        for analysis in whole.analyses
        if analysis.state() != "waits"
        for path, kind, _ in analysis.analyses().steps(analysis.kinds)
        if path.is_file()
        for record in [ANALYSES[kind].load(path)]
    ]
    everything = collect(run.folder for run in trained)
    results = Results(
        records,
        checks,
        analyses,
        [run.training for run in trained],
        everything.files,
        {run.folder.name: run.log_path for run in trained},
        everything.problems,
    )
    for problem in results.problems:
        say(problem)
    say(f"\n{write_report(results, folder)}")
    wanted = sum(len(attack.targets) for attack in whole.attacks) + len(whole.checks)
    if missing := wanted - len(records) - len(checks):
        say(f"{missing} measurements are not on record yet")
    say(f"records: {folder}/*/records/; tables and figures: {folder}/\nreport: {folder}/index.html")


def _put_aside(experiment: Experiment) -> Path:
    """Move a run that the study no longer means out of its way; nothing of it is mixed in or lost.

    Raises:
        UserError: another process trains it.
    """
    folder = experiment.folder
    digest = hashlib.sha256((folder / "experiment.yaml").read_bytes()).hexdigest()[:8]
    aside = folder.with_name(f"{folder.name}.stale-{digest}")
    with run_lock(folder):
        folder.rename(aside)
        (aside / LOCK).unlink()
    return aside
