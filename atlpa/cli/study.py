"""``atlpa-study``: train, attack and tabulate a declared list of defenses, as far as it is not done."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from atlpa.cli.command import Parser, run_command
from atlpa.errors import UserError
from atlpa.machine import pick_device
from atlpa.report import Table
from atlpa.studies import Plan, draw, execute, load_study, plan, shipped_studies
from atlpa.studies.steps import training_state


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="atlpa-study",
        description="Train what is missing, attack it, and write Table 1 and Figure 3. What is finished is not done "
        "again: the same command resumes.",
        epilog=f"shipped studies: {', '.join(shipped_studies())}",
    )
    parser.add_argument("study", metavar="STUDY", help="a YAML file, or a shipped study's name")
    parser.add_argument("--plan", action="store_true", help="show what is done and what remains, and do nothing")
    parser.add_argument("--only", choices=["train", "evaluate", "report"], help="carry out this stage alone")
    parser.add_argument(
        "--shard", type=shard, metavar="K/N", help="the K-th of N parts, for machines that share the folder runs/"
    )
    parser.add_argument("--keep-images", metavar="DIR", help="keep transferred images there as .npy; reuse those there")
    parser.add_argument("--data-root", metavar="DIR", help="where the data set lies")
    parser.add_argument("--device", help="auto (CUDA where there is one), cpu, cuda …")
    return parser


def shard(text: str) -> tuple[int, int]:
    """An argument such as 2/8."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part; give for example 2/8, the second of eight")
    return int(number), int(of)


def show(todo: Plan) -> None:
    """Print a plan."""
    steps: list[tuple[str, str, Callable[[], float | None]]] = [
        *(
            (f"train {one.folder.name}", training_state(one), partial(todo.training_seconds, one))
            for one in todo.trainings
        ),
        *((attack.title, attack.state(), partial(todo.attack_seconds, attack)) for attack in todo.attacks),
        *((check.title, check.state(), todo.check_seconds) for check in todo.checks),
        *((analysis.title, analysis.state(), lambda: None) for analysis in todo.analyses),
    ]
    rows = []
    for title, state, cost in steps:
        seconds = None if state == "done" else cost()
        rows.append((title, state, "" if seconds is None else f"{seconds / 60:.0f}"))
    print(Table(("step", "state", "minutes"), rows, left=2).markdown(), end="")
    done = sum(state == "done" for _, state, _ in rows)
    print(f"{done} of {len(rows)} steps are done; minutes: by finished steps of the same kind and architecture")


def work(arguments: argparse.Namespace) -> None:
    """Plan, do, draw."""
    study = load_study(arguments.study)
    fields = {"data.root": arguments.data_root, "device": arguments.device}
    where: list[tuple[str, Any]] = [(field, value) for field, value in fields.items() if value is not None]
    whole = plan(study, where)
    todo = whole.shard(*arguments.shard) if arguments.shard else whole
    if arguments.plan:
        if arguments.only or arguments.keep_images:
            raise UserError("--plan shows all stages and does nothing; leave out --only and --keep-images")
        show(todo)
        return
    if arguments.keep_images and arguments.only in ("train", "report"):
        raise UserError(f"--keep-images has no meaning with --only {arguments.only}")
    device = pick_device(todo.trainings[0].device if todo.trainings else "auto")
    notes = [note for one in study.protocols() for note in one.notes(device)]
    for note in dict.fromkeys(notes):
        print(f"note: {note}")
    if arguments.only != "report":
        keep = Path(arguments.keep_images) if arguments.keep_images else None
        execute(todo, [arguments.only] if arguments.only else ["train", "evaluate"], keep=keep)
    if arguments.only in (None, "report"):
        draw(whole, Path("runs") / study.name)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)
    return run_command("atlpa-study", lambda: work(arguments))


if __name__ == "__main__":
    sys.exit(main())
