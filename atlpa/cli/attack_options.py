"""The options that say how networks are attacked and judged, and the protocols they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import get_args

from atlpa.attacks import OBJECTIVES, PGD, Attack, AutoAttack, Noise, Square, fgsm
from atlpa.cli.command import count, number, seed
from atlpa.engine import Engine, Precision
from atlpa.errors import UserError
from atlpa.runs import Pairing, Protocol

PGD_ALONE = (
    "iters",
    "step",
    "start",
    "restarts",
    "loss",
    "momentum",
    "diversity",
    "eot",
    "fixed_draws",
    "engine",
    "precision",
)


def add_attack_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``protocols`` reads."""
    pgd = parser.add_argument_group("the attack")
    pgd.add_argument(
        "--attack",
        choices=["pgd", "fgsm", "square", "autoattack", "noise", "none"],
        default="pgd",
        help="default: %(default)s",
    )
    pgd.add_argument(
        "--eps",
        nargs="+",
        type=number,
        metavar="E",
        help="ε in [0, 1] pixels, 0.25 or 64/256; default: 0.25, AutoAttack and Square 8/255",
    )
    pgd.add_argument(
        "--iters",
        nargs="+",
        type=count,
        metavar="N",
        help="PGD's iteration budgets, all from one run; default: 200 (Square: queries, 1000)",
    )
    pgd.add_argument("--step", type=number, metavar="S", help="PGD's step; default: 1/256")
    pgd.add_argument("--start", choices=["zero", "uniform"], help="PGD's start; default: zero")
    pgd.add_argument("--loss", choices=list(OBJECTIVES), help="what PGD climbs; default: cross_entropy")
    pgd.add_argument(
        "--restarts", type=count, metavar="R", help="PGD's white-box restarts from a uniform start; default: 1"
    )
    pgd.add_argument(
        "--momentum", type=number, metavar="M", help="of transferred images' direction, such as 1; default: 0"
    )
    pgd.add_argument(
        "--diversity",
        type=number,
        metavar="P",
        help="probability of shrinking an image before each gradient of transferred images, such as 0.5; default: 0",
    )
    pgd.add_argument(
        "--precision",
        choices=get_args(Precision),
        help="of PGD's gradients: bf16 is faster on machines that know it; verdicts are always fp32's; default: fp32",
    )
    pgd.add_argument(
        "--engine",
        choices=get_args(Engine),
        help="what PGD's gradients are computed on: a faster copy of the network, or the network; default: auto",
    )
    pgd.add_argument("--seed", type=seed, default=0, help="of random starts, noise and randomized networks; default: 0")
    random = parser.add_argument_group("randomized networks")
    random.add_argument(
        "--eot", type=count, metavar="K", help="average PGD's gradients over K draws of the network; default: 1"
    )
    random.add_argument(
        "--fixed-draws",
        action="store_true",
        default=None,
        help="let the network meet the same draws in every iteration of PGD; default: fresh ones",
    )
    random.add_argument(
        "--draws", type=count, metavar="D", help="ask the network D times, report mean and spread; default: 10"
    )
    random.add_argument(
        "--average", type=count, metavar="K", help="let the network predict with the mean of K draws; default: 1"
    )


def protocols(arguments: argparse.Namespace) -> list[Protocol]:
    """One protocol for each ε.

    Raises:
        UserError: an option that this attack does not have.
    """
    given = {name: value for name in PGD_ALONE if (value := getattr(arguments, name)) is not None}
    epsilons = arguments.eps
    own = {"pgd": PGD_ALONE, "square": ("iters",)}.get(arguments.attack, ())
    foreign = [name for name in given if name not in own]
    if arguments.attack == "none" and epsilons is not None:
        foreign.append("eps")
    for option in foreign:
        raise UserError(f"{_spelled(option)} has no meaning for --attack {arguments.attack}")
    default_budgets = {"pgd": [200], "square": [1000]}.get(arguments.attack, [1])
    budgets = tuple(sorted(set(given.pop("iters", default_budgets))))
    if arguments.restarts and len(budgets) > 1:
        raise UserError("--restarts touch only what stands at the last budget; give a single --iters with them")

    def attack(epsilon: float) -> Attack:
        if arguments.attack == "pgd":
            return PGD(epsilon=epsilon, iterations=budgets[-1], **given)
        if arguments.attack == "fgsm":
            return fgsm(epsilon)
        if arguments.attack == "square":
            return Square(epsilon=epsilon, iterations=budgets[-1])
        return AutoAttack(epsilon=epsilon) if arguments.attack == "autoattack" else Noise(epsilon=epsilon)

    judging = {name: value for name in ("draws", "average") if (value := getattr(arguments, name)) is not None}
    default = {"none": 0.0, "autoattack": 8 / 255, "square": 8 / 255}.get(arguments.attack, 0.25)
    epsilons = epsilons or [default]
    return [Protocol(attack(e), budgets, arguments.limit, arguments.seed, **judging) for e in epsilons]


def check_epsilons(arguments: argparse.Namespace) -> list[float]:
    """Every ε that the credibility checks are made at.

    Raises:
        UserError: an option of an attack, which the checks choose themselves.
    """
    chosen = [name for name in (*PGD_ALONE, "draws", "average") if getattr(arguments, name) is not None]
    chosen += ["attack"] if arguments.attack != "pgd" else []
    chosen += [name for name in ("threat", "source", "keep_images") if getattr(arguments, name)]
    for option in chosen:
        raise UserError(f"{_spelled(option)} has no meaning with --check, which makes its own attacks")
    epsilons = arguments.eps or [8 / 255]
    for epsilon in epsilons:
        if not 0 < epsilon <= 1:
            raise UserError(f"--eps {epsilon:g}: --check needs an ε above 0 and at most 1, in units of the pixel range")
    return list(epsilons)


def check_pairings(arguments: argparse.Namespace, pairings: Sequence[Pairing]) -> None:
    """Refuse options of transfer or of randomized networks where there is none.

    Raises:
        UserError: such an option would be ignored.
    """
    attacked = any(pairing.source.randomized for pairing in pairings)
    judged = any(pairing.target.randomized for pairing in pairings)
    transferred = any(pairing.threat != "white" for pairing in pairings)
    for option in ("momentum", "diversity", "keep_images"):
        if getattr(arguments, option) and not transferred:
            raise UserError(f"{_spelled(option)} serves transfer, and every attack here is white-box")
    for options, serves, role in (
        (("eot", "fixed_draws"), attacked, "attacked"),
        (("draws", "average"), judged, "judged"),
    ):
        for option in options:
            if getattr(arguments, option) is not None and not serves:
                raise UserError(f"{_spelled(option)} is for randomized networks, and none is {role} here")


def _spelled(option: str) -> str:
    return "--" + option.replace("_", "-")
