"""``atlpa-eval``: judge trained networks under attack, white-box and by transfer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from atlpa.attacks import PGD, Noise, fgsm
from atlpa.cli.command import Parser, count, number, run_command, seed
from atlpa.errors import UserError
from atlpa.files import write_text
from atlpa.machine import pick_device
from atlpa.records import Evaluation, Threat
from atlpa.report import each_accuracy, protocol
from atlpa.runs import Pairing, Protocol, Run, evaluate, finished_runs, pair

RUNS = Path("runs")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="atlpa-eval",
        description="Judge trained networks under attack. Development runs are judged on the validation part, runs "
        "trained with --final on the test part. Each result is a record in the run's folder; what is on record is not "
        "measured again.",
    )
    add = parser.add_argument
    add(
        "--run",
        action="append",
        default=[],
        metavar="DIR",
        help="a run's folder (repeatable); default: the newest",
    )
    add("--attack", choices=["pgd", "fgsm", "noise", "none"], default="pgd", help="default: %(default)s")
    add(
        "--eps",
        nargs="+",
        type=number,
        metavar="E",
        help="ε in [0, 1] pixels, 0.25 or 64/256; default: 0.25",
    )
    add(
        "--iters",
        nargs="+",
        type=count,
        metavar="N",
        help="PGD's iteration budgets, all from one run; default: 200",
    )
    add("--step", type=number, metavar="S", help="PGD's step; default: 1/256")
    add("--start", choices=["zero", "uniform"], help="PGD's start; default: zero")
    add(
        "--restarts",
        type=count,
        metavar="R",
        help="PGD's white-box restarts from a uniform start; default: 1",
    )
    add(
        "--eot",
        type=count,
        metavar="K",
        help="average PGD's gradients over K draws of a randomized network; default: 1",
    )
    add(
        "--fixed-draws",
        action="store_true",
        default=None,
        help="let a randomized network meet the same draws in every iteration of PGD; default: fresh ones",
    )
    add(
        "--draws", type=count, metavar="D", help="ask a randomized network D times, report mean and spread; default: 10"
    )
    add(
        "--average",
        type=count,
        metavar="K",
        help="let a randomized network predict with the mean of K draws; default: 1",
    )
    add(
        "--threat",
        action="append",
        default=[],
        choices=["white", "gray", "black"],
        help="repeatable; default: all possible",
    )
    add("--source", action="append", default=[], metavar="DIR", help="attack with this run (repeatable); default: the "
        "undefended runs beside the judged one: gray-box if of the same architecture, else black-box")  # fmt: skip
    add("--limit", type=count, metavar="N", help="judge N images, evenly spaced over the part; default: all")
    add("--seed", type=seed, default=0, help="of random starts and noise; default: 0")
    add("--device", default="auto", help="auto (CUDA where there is one), cpu, cuda …; default: auto")
    add("--data-root", metavar="DIR", help="where the data set lies now")
    add("--again", action="store_true", help="measure anew what is on record")
    add("--json", metavar="FILE", help="also write the records into one file")
    return parser


def protocols(arguments: argparse.Namespace) -> list[Protocol]:
    """One protocol for each ε.

    Raises:
        UserError: an option that this attack does not have.
    """
    allowed = {
        "pgd": {"eps", "iters", "step", "start", "restarts", "eot", "fixed_draws"},
        "fgsm": {"eps"},
        "noise": {"eps"},
        "none": set(),
    }
    for option in sorted(allowed["pgd"] - allowed[arguments.attack]):
        if getattr(arguments, option) is not None:
            raise UserError(f"--{option.replace('_', '-')} has no meaning for --attack {arguments.attack}")
    budgets = tuple(sorted(set(arguments.iters or [200]))) if arguments.attack == "pgd" else (1,)
    if arguments.restarts and len(budgets) > 1:
        raise UserError("--restarts touch only what stands at the last budget; give a single --iters with them")
    names = ("step", "start", "restarts", "eot", "fixed_draws")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}

    def attack(epsilon: float) -> PGD | Noise:
        if arguments.attack == "pgd":
            return PGD(epsilon=epsilon, iterations=budgets[-1], **given)
        return fgsm(epsilon) if arguments.attack == "fgsm" else Noise(epsilon=epsilon)

    judging = {name: value for name in ("draws", "average") if (value := getattr(arguments, name)) is not None}
    epsilons = [0.0] if arguments.attack == "none" else arguments.eps or [0.25]
    return [Protocol(attack(e), budgets, arguments.limit, arguments.seed, **judging) for e in epsilons]


def chosen_runs(arguments: argparse.Namespace) -> list[Run]:
    """The runs named, or the newest finished one."""
    if arguments.run:
        runs = [Run.open(Path(folder)) for folder in dict.fromkeys(arguments.run)]
    else:
        runs = finished_runs(RUNS)[-1:]
        if not runs:
            raise UserError(f"no finished run below {RUNS}/; train one with atlpa-train, or name one with --run DIR")
        print(f"newest finished run: {runs[0].folder}")
    return [run.with_data_root(arguments.data_root) for run in runs]


def check_randomized(arguments: argparse.Namespace, pairings: Sequence[Pairing]) -> None:
    """Refuse options of randomized networks where none is attacked or judged.

    Raises:
        UserError: such an option would be ignored.
    """
    sources = any(pairing.source.randomized for pairing in pairings)
    targets = any(pairing.target.randomized for pairing in pairings)
    for option, serves in (("eot", sources), ("fixed_draws", sources), ("draws", targets), ("average", targets)):
        if getattr(arguments, option) is not None and not serves:
            role = "attacked" if option in ("eot", "fixed_draws") else "judged"
            raise UserError(f"--{option.replace('_', '-')} is for randomized networks, and none is {role} here")


def work(arguments: argparse.Namespace) -> None:
    """Judge, print, and write what was asked for."""
    if arguments.json and (Path(arguments.json).is_dir() or not Path(arguments.json).absolute().parent.is_dir()):
        raise UserError(f"--json {arguments.json}: its folder does not exist, or it is a folder itself")
    if arguments.attack in ("noise", "none"):
        if set(arguments.threat) - {"white"} or arguments.source:
            raise UserError(f"--attack {arguments.attack} follows no network; leave out --threat and --source")
        arguments.threat = ["white"]
    asked = protocols(arguments)
    for remark in (remark for one in asked for remark in one.attack.remarks(one.budgets)):
        print(f"note: {remark}")
    device = pick_device(arguments.device)
    threats: list[Threat] = arguments.threat
    sources = [Run.open(Path(folder)) for folder in arguments.source]
    pairings, remarks = pair(chosen_runs(arguments), threats, sources)
    for remark in remarks:
        print(f"note: {remark}")
    check_randomized(arguments, pairings)

    records: list[Evaluation] = []
    for one in asked:
        records += evaluate(pairings, one, device, again=arguments.again)
    print(each_accuracy(records).markdown(), end="")
    print(protocol(records), end="")
    if arguments.json:
        content = [record.model_dump(mode="json") for record in records]
        write_text(Path(arguments.json), json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)
    return run_command("atlpa-eval", lambda: work(arguments))


if __name__ == "__main__":
    sys.exit(main())
