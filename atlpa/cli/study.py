"""``atlpa-study``: train, attack and tabulate a declared list of defenses, as far as it is not done."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atlpa.cli.command import path, run_command
from atlpa.cli.json_option import add_json_option, as_json
from atlpa.cli.parser import command_parser, suggest
from atlpa.cli.schema_option import add_schema_option
from atlpa.errors import UserError
from atlpa.machine import pick_device
from atlpa.process_group import started
from atlpa.processes import Processes
from atlpa.progress import be_quiet, say
from atlpa.records import Record
from atlpa.report import Table
from atlpa.studies import Plan, Study, execute, load_study, plan, preflight, shipped_studies, write_study_report


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "atlpa-study",
        "Train what is missing, attack it, and write Table 1 and Figure 3. What is finished is not done again: the "
        "same command resumes.",
        [
            "atlpa-study digits                                  # five small networks, attacked, on one page",
            "atlpa-study flowers-small --data-root DIR --plan    # what is done, what remains, how long it may take",
            "atlpa-study flowers --data-root DIR --shard 2/8     # the second of eight machines that share runs/",
        ],
        more=f"shipped studies: {', '.join(shipped_studies())}",
    )
    study = parser.add_argument("study", metavar="STUDY", help="a YAML file, or a shipped study's name")
    suggest(study, shipped_studies())
    parser.add_argument("--plan", action="store_true", help="show what is done and what remains, and do nothing")
    parser.add_argument("--only", choices=["train", "evaluate", "report"], help="carry out this stage alone")
    parser.add_argument(
        "--shard", type=shard, metavar="K/N", help="the K-th of N parts, for machines that share the folder runs/"
    )
    parser.add_argument(
        "--put-aside",
        action="store_true",
        help="move runs that lie in this study's folder, but are not of it, to <run>.stale-N; without it, they are "
        "refused",
    )
    parser.add_argument(
        "--keep-images", type=path, metavar="DIR", help="keep transferred images there as .npy; reuse those there"
    )
    add_schema_option(parser, "a study", Study)
    parser.add_argument("--data-root", type=path, metavar="DIR", help="where the data set lies")
    parser.add_argument("--device", help="auto (CUDA where there is one), cpu, cuda …")
    add_json_option(parser)
    return parser


def shard(text: str) -> tuple[int, int]:
    """An argument such as 2/8."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part; give for example 2/8, the second of eight")
    return int(number), int(of)


def show(todo: Plan) -> None:
    """Print a plan."""
    states = [(step, step.state()) for step in todo.steps]
    rows = [(step.title, state, "" if state == "done" else _minutes(todo.seconds(step))) for step, state in states]
    print(Table(("step", "state", "minutes"), rows, left=2).markdown(), end="")
    done = sum(state == "done" for _, state in states)
    print(f"{done} of {len(rows)} steps are done; minutes: by finished steps of the same kind and architecture")


def _minutes(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 60:.0f}"


def work(arguments: argparse.Namespace) -> None:
    """Plan, do, draw; with others, if torchrun or Slurm has started several processes."""
    here = started()
    if here.first:
        if arguments.json and (arguments.plan or arguments.only in ("train", "evaluate")):
            raise UserError("--json writes what the report is drawn from; leave out --plan, and --only but for report")
        with as_json(arguments.json) as records:
            records.extend(carry_out(arguments, here))
        return
    be_quiet()
    try:
        carry_out(arguments, here)
    except UserError as error:
        raise UserError(f"process {here.rank} of {here.count}: {error}") from error


def carry_out(arguments: argparse.Namespace, here: Processes) -> Sequence[Record]:
    """This process's part of it; gives what its report, if it writes one, is drawn from."""
    study = load_study(arguments.study)
    fields = {"data.root": arguments.data_root, "device": arguments.device}
    where: list[tuple[str, Any]] = [(field, value) for field, value in fields.items() if value is not None]
    keep = Path(arguments.keep_images) if arguments.keep_images else None
    whole = plan(study, where, keep, put_aside=arguments.put_aside)
    device = whole.trainings[0].experiment.device
    if (own := here.device(device)) != device:
        whole = plan(study, [*where, ("device", own)], keep, put_aside=arguments.put_aside)
    todo = whole.shard(*arguments.shard) if arguments.shard else whole
    if here.count > 1 and (arguments.plan or arguments.shard):
        raise UserError(f"{here.count} processes share the steps of a study as they come; leave out --plan and --shard")
    if arguments.plan:
        if arguments.only or arguments.keep_images:
            raise UserError("--plan shows all stages and does nothing; leave out --only and --keep-images")
        show(todo)
        return ()
    if arguments.keep_images and arguments.only in ("train", "report"):
        raise UserError(f"--keep-images has no meaning with --only {arguments.only}")
    chosen = pick_device(todo.trainings[0].experiment.device if todo.trainings else "auto")
    notes = [note for one in study.protocols() for note in one.notes(chosen)]
    for note in dict.fromkeys(notes) if here.first else ():
        say(f"note: {note}")
    steps = [] if arguments.only == "report" else todo.stage(arguments.only) if arguments.only else todo.steps
    folder = Path("runs") / study.name
    preflight(steps, keep, folder if arguments.only in (None, "report") else None)
    execute(steps, say if here.first else lambda line: print(f"process {here.rank}: {line}"))
    if arguments.only in (None, "report") and here.first:
        return write_study_report(whole, folder).records
    return ()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)
    return run_command("atlpa-study", lambda: work(arguments), quiet=arguments.quiet)


if __name__ == "__main__":
    sys.exit(main())
