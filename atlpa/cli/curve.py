"""``atlpa-eval --curve``: accuracy against ε, and how far images are from being misread."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from atlpa.attacks import PGD
from atlpa.cli.attack_options import protocols
from atlpa.cli.command import number, settings
from atlpa.cli.given import judged_runs
from atlpa.component import field_names
from atlpa.errors import UserError
from atlpa.evaluation.distances import GRID, STEPS, default_attack
from atlpa.machine import pick_device
from atlpa.progress import say
from atlpa.records import Distances
from atlpa.report import curve_table, distances_note, distances_table
from atlpa.runs import DistanceRun, Protocol

ELSEWHERE = (
    "threat",
    "source",
    "joint",
    "eight_bit",
    "keep_images",
    "draws",
    "average",
    "check",
    "claimed",
    "add_check",
)
"""Options of other evaluations than a white-box one of a network that does not draw."""


def add_curve_option(group: argparse._ArgumentGroup) -> None:
    """Add what ``curves`` reads."""
    group.add_argument(
        "--curve",
        nargs="*",
        type=number,
        metavar="E",
        help="find how far each image must be moved: ε is bisected for each, or an "
        "attack that looks for the nearest (fmn, fab) is made once; accuracy at these ε, ascending; default: "
        f"{len(GRID['Linf'])} from {GRID['Linf'][0]:.3g} to {GRID['Linf'][-1]:g}, in L2 from {GRID['L2'][0]:.3g} to "
        f"{GRID['L2'][-1]:g}; pgd climbs the margin in {STEPS} steps of ε/16, and --step is that of "
        "the largest ε",
    )


def curves(arguments: argparse.Namespace) -> list[Distances]:
    """Find the distances of the networks that are named, and print what they come to.

    Raises:
        UserError: an option of another kind of evaluation, or a grid or an attack that gives no distances.
    """
    for option in ELSEWHERE:
        if getattr(arguments, option) not in (None, False, []):
            spelled = f"--{option.replace('_', '-')}"
            raise UserError(f"{spelled} has no meaning with --curve, which is white-box and asks each network once")
    if arguments.eps:
        raise UserError(
            "--eps has no meaning with --curve, which finds where each image falls; its own ε are --curve E E …"
        )
    if len(set(arguments.iters or ())) > 1:
        raise UserError(f"--iters {' '.join(map(str, arguments.iters))}: --curve takes a single one")
    chosen = dict(settings(arguments.attack_set, "--attack-set"))
    norm = str(arguments.norm or chosen.get("norm", "Linf"))
    grid = tuple(arguments.curve) or GRID.get(norm, GRID["Linf"])
    protocol = _protocol(arguments, chosen, max(grid))
    attack = protocol.attack.suited_to(white_box=True, randomized=False)
    for field in field_names(attack):
        if getattr(attack, field) != getattr(protocol.attack, field):
            raise UserError(f"{field} of {attack.name} has no meaning with --curve, which is white-box")
    device = pick_device(arguments.device)
    for note in protocol.attack.device_notes(device):
        say(f"note: {note}")
    networks = [network for run in judged_runs(arguments) for network in run.networks]
    asked = [DistanceRun(one, attack.on(device), grid, arguments.limit, arguments.seed) for one in networks]
    recorded = [None if arguments.again else one.recorded for one in asked]  # a damaged one is found at once
    records = [record or one.make(device) for one, record in zip(asked, recorded, strict=True)]
    print(distances_table(records).markdown(), end="")
    print(distances_note(records), end="\n" if arguments.curve else "")
    if arguments.curve:
        print(curve_table(records, grid).markdown(), end="")
    return records


def _protocol(arguments: argparse.Namespace, chosen: Mapping[str, Any], farthest: float) -> Protocol:
    """The attack at the largest ε; PGD, where nothing else was said, on the margin, with steps of ε/16."""
    given: dict[str, Any] = {**vars(arguments), "eps": [farthest]}
    if arguments.attack == PGD.name:
        usual = default_attack()
        wanted: dict[str, Any] = {"loss": usual.loss, "step": farthest * usual.step / usual.epsilon}
        wanted |= {} if "iterations" in chosen else {"iters": [usual.iterations]}
        given |= {name: value for name, value in wanted.items() if not given[name] and name not in chosen}
    (protocol,) = protocols(argparse.Namespace(**given))
    return protocol
