"""``atlpa-eval``: judge trained networks under attack, white-box and by transfer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from atlpa.attacks import PGD
from atlpa.cli.attack_options import add_attack_options, check_pairings, named_attack, protocols
from atlpa.cli.bound import bound
from atlpa.cli.bundle import add_bundle_options, bundle, repeat
from atlpa.cli.check import add_check_options, check
from atlpa.cli.command import count, path, run_command
from atlpa.cli.curve import add_curve_option, curves
from atlpa.cli.given import add_given_options, judged_runs
from atlpa.cli.json_option import add_json_option, as_json
from atlpa.cli.parser import command_parser
from atlpa.cli.runs import add_place_options, open_runs
from atlpa.cli.together import alone
from atlpa.errors import UserError
from atlpa.files import unwritable
from atlpa.machine import pick_device
from atlpa.progress import say
from atlpa.records import BoundMethod, Evaluation, Threat
from atlpa.report import each_accuracy, protocol
from atlpa.runs import evaluate, pair, pair_jointly

MANY = "(repeatable)"
USAGE = """%(prog)s [--run RUN] [--attack NAME | --check | --curve | --bound METHOD | --bundle FILE | --verify FILE]
                  [options]"""


def _parser(attack: str = PGD.name) -> argparse.ArgumentParser:
    parser = command_parser(
        "atlpa-eval",
        "Judge trained networks under attack. Development runs are judged on the validation part, runs trained with "
        "--final on the test part. Each result is a record in the run's folder; what is on record is not measured "
        "again.",
        [
            "atlpa-eval --attack pgd --eps 0.25 --iters 200      # the newest run, under every threat that is possible",
            "atlpa-eval --run RUN --attack ensemble              # the strongest judge; ε 8/255 by default",
            "atlpa-eval --run RUN --check --claimed 0.53         # can this number be true?",
            "atlpa-eval --model timm:convnext_tiny --weights net.pth --data folder:photos --attack ensemble",
            "atlpa-eval --attack apgd --help                     # what that attack can be told",
        ],
    )
    parser.usage = USAGE
    add = parser.add_argument_group("which networks, on which images").add_argument
    folders: dict[str, Any] = {"action": "append", "default": [], "type": path, "metavar": "RUN"}
    add("--run", **folders, help=f"a run's folder; default: the newest {MANY}")
    add("--limit", type=count, metavar="N", help="judge N images, evenly spaced over the part; default: all")
    add_given_options(parser)
    add = parser.add_argument_group("who attacks").add_argument
    add(
        "--threat",
        action="append",
        default=[],
        choices=get_args(Threat),
        help=f"transfer needs --source; default: all possible {MANY}",
    )
    add(
        "--source",
        **folders,
        help="attack with this run; default: those beside the judged one, undefended (gray-box if of the same "
        "architecture, else black-box) or of its own defense with another seed (surrogate); any other is transfer "
        f"{MANY}",
    )
    add(
        "--joint",
        action="store_true",
        help="attack all --source networks as one, by the mean of their logits: transfer that fools several at once",
    )
    add(
        "--keep-images",
        type=path,
        metavar="DIR",
        help="keep transferred images there as .npy, and show those that lie there again",
    )
    add("--eight-bit", action="store_true", help="show transferred images as 8-bit ones, rounded to 1/255 within ε")
    add_attack_options(parser, attack)
    instead = parser.add_argument_group("in place of an attack")
    add_check_options(instead)
    add_curve_option(instead)
    instead.add_argument(
        "--bound",
        choices=get_args(BoundMethod),
        help="certify at --eps (default 8/255) that none can fell an image: by intervals (ibp), or by linear bounds "
        "too (crown), which takes longer and says more",
    )
    add_bundle_options(instead)
    where = parser.add_argument_group("where it lies and runs")
    add_json_option(where)
    add_place_options(where)
    return parser


def work(arguments: argparse.Namespace) -> int:
    """Judge, check, bound, bundle or verify; print, and write what was asked for. Gives the exit status."""
    alone()
    for option, beside in (("verify", "json"), ("bundle", "run")):
        if getattr(arguments, option):
            check_alone(arguments, option, {"data_root", beside})
    if arguments.bundle:
        bundle(arguments)
        return 0
    for option in ("add_check", "claimed"):
        if getattr(arguments, option) not in (None, []) and not arguments.check:
            raise UserError(f"--{option.replace('_', '-')} has no meaning without --check")
    asked = [option for option in IN_PLACE if getattr(arguments, option) not in (None, False)]
    if len(asked) > 1:
        raise UserError(f"{' and '.join(f'--{option}' for option in asked)} each stand in place of an attack; give one")
    make = IN_PLACE[asked[0]] if asked else judge
    with as_json(arguments.json) as records:
        records.extend(make(arguments))
    return int(make is repeat and any(one.differing for one in records))


def check_alone(arguments: argparse.Namespace, option: str, beside: set[str]) -> None:
    """Refuse all that an option which attacks nothing new would ignore.

    Raises:
        UserError: such an argument was given.
    """
    defaults = vars(_parser().parse_args([]))
    for name, value in vars(arguments).items():
        if name not in {option, "device", "quiet", "trust_code", *beside} and value != defaults[name]:
            raise UserError(f"--{name.replace('_', '-')} has no meaning with --{option}")


def judge(arguments: argparse.Namespace) -> list[Evaluation]:
    """Attack, judge and print."""
    keep = Path(arguments.keep_images) if arguments.keep_images else None
    if keep and not keep.is_dir() and (problem := unwritable(keep)):
        raise UserError(f"--keep-images {keep} cannot be made: {problem}")
    asked, device = protocols(arguments), pick_device(arguments.device)
    if not asked[0].attack.transferable:
        if set(arguments.threat) - {"white"} or arguments.source:
            raise UserError(
                f"--attack {arguments.attack} is for the judged network itself; leave out --threat and --source"
            )
        arguments.threat = ["white"]
    if arguments.model and not (arguments.threat or arguments.source):
        arguments.threat = ["white"]  # nothing is trained to attack a network from elsewhere
    if arguments.source and set(arguments.threat) == {"white"}:
        raise UserError("--source has no meaning for --threat white, which attacks the judged network itself")
    for note in dict.fromkeys(note for one in asked for note in one.notes(device)):
        say(f"note: {note}")
    threats: list[Threat] = arguments.threat
    sources = open_runs(arguments.source, trust_code=arguments.trust_code)
    runs = judged_runs(arguments)
    targets = [network for run in runs for network in run.networks]
    notes: list[str] = []
    if arguments.joint:
        pairings = pair_jointly(targets, threats, sources)
    else:
        pairings, notes = pair(targets, threats, sources, trust_code=arguments.trust_code)
    for note in notes:
        say(f"note: {note}")
    check_pairings(arguments, pairings)

    records: list[Evaluation] = []
    for one in asked:
        records += evaluate(pairings, one.on(device), device, again=arguments.again, keep=keep)
    print(each_accuracy(records).markdown(), end="")
    print(protocol(records), end="")
    return records


IN_PLACE: dict[str, Callable[[argparse.Namespace], Sequence[Any]]] = {
    "verify": repeat,
    "check": check,
    "bound": bound,
    "curve": curves,
}
"""What is made in place of an attack, by the option that asks for it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser(named_attack(argv)).parse_args(argv)
    return run_command("atlpa-eval", lambda: work(arguments), quiet=arguments.quiet)


if __name__ == "__main__":
    sys.exit(main())
