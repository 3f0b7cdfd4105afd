"""The options that say how networks are attacked and judged, and the protocols they ask for.

Each field of an attack that comes with the package is an option; fields of any other are set with ``--attack-set``.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

from pydantic import ValidationError

from atlpa.attacks import ATTACKS, PGD, Attack, attack_class, read_attack
from atlpa.cli.command import count, number, seed, settings
from atlpa.cli.parser import suggest
from atlpa.component import REASON, field_docs
from atlpa.errors import UserError, explain
from atlpa.runs import Pairing, Protocol
from atlpa.strict_yaml import parse_yaml


def named_attack(argv: Sequence[str] | None) -> str:
    """The attack that a command line names, whose fields its help shows."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--attack", nargs="?")
    named: str | None = first.parse_known_args(argv)[0].attack
    return named or PGD.name


def add_attack_options(parser: argparse.ArgumentParser, shown: str = PGD.name) -> None:
    """Add what ``protocols`` reads; the help tells the fields of the attack ``shown``."""
    kind = attack_class(shown) if shown in ATTACKS.built_in else PGD
    attack = parser.add_argument_group(f"the attack ({kind.name}; another's options: --attack NAME --help)")
    add = attack.add_argument
    names = _evaluated()
    suggest(
        add("--attack", metavar="NAME", default=PGD.name, help=f"{', '.join(names)}, or package.module:attack"), names
    )
    default = "" if kind.name == "none" else f"; default: {_default(kind, 'epsilon'):.4g}"
    add("--eps", nargs="+", type=number, metavar="E", help=f"ε in [0, 1] pixels, 0.25 or 64/256{default}")
    default = f"; default: {_default(kind, kind.budget)}" if kind.budget else ""
    add("--iters", nargs="+", type=count, metavar="N", help=f"budgets, all from one run{default}")
    for name, kinds in _fields_of_attacks().items():
        _add_field(attack, name, kind if kind in kinds else kinds[0], hidden=kind not in kinds)
    others = [field.name for field in fields(kind) if field.name not in (*_fields_of_attacks(), "epsilon", kind.budget)]
    such = f", such as {others[0]}={_default(kind, others[0])}" if others else ""
    any_field = f"any field of the attack{such} (repeatable)"
    add("--attack-set", action="append", default=[], metavar="FIELD=VALUE", help=any_field)
    add("--seed", type=seed, default=0, help="of random starts, noise and randomized networks; default: 0")
    add = parser.add_argument_group("randomized networks").add_argument
    add("--draws", type=count, metavar="D", help="ask the network D times, report mean and spread; default: 10")
    add("--average", type=count, metavar="K", help="let the network predict with the mean of K draws; default: 1")


def protocols(arguments: argparse.Namespace) -> list[Protocol]:
    """One protocol for each ε.

    Raises:
        UserError: there is no such attack, or an option that it does not have.
    """
    kind, given = attack_class(arguments.attack), _given(arguments)
    own = {field.name for field in fields(kind)}
    foreign = [option for option in given if option not in own]
    foreign += ["iters"] if arguments.iters and not kind.budget else []
    foreign += ["eps"] if arguments.eps and arguments.attack == "none" else []
    for option in foreign:
        raise UserError(f"{_spelled(option)} has no meaning for --attack {arguments.attack}")
    for option in sorted(given.keys() & _attack_settings(arguments)):
        raise UserError(f"{_spelled(option)} and --attack-set {option} say the same; give one of them")
    given |= _attack_settings(arguments)
    if "epsilon" in given:
        raise UserError("--attack-set epsilon: ε is set with --eps")
    budgets = tuple(sorted(set(arguments.iters or ())))
    if budgets and kind.budget in given:
        raise UserError(f"--iters and --attack-set {kind.budget} say the same; give one of them")
    if kind.budget and budgets:
        given[kind.budget] = budgets[-1]
    judging: dict[str, Any] = {"eight_bit": arguments.eight_bit}
    judging |= {name: value for name in ("draws", "average") if (value := getattr(arguments, name)) is not None}
    found = []
    for epsilon in arguments.eps or [_default(kind, "epsilon")]:
        try:
            attack: Attack = read_attack({"name": arguments.attack, **given, "epsilon": epsilon})
        except ValidationError as error:
            raise UserError(f"--attack {arguments.attack}: {explain(error)}") from error
        found.append(Protocol(attack, budgets or (attack.last_iterate,), arguments.limit, arguments.seed, **judging))
    return found


def epsilons_without_attack(
    arguments: argparse.Namespace, instead: str, why: str, takes: Collection[str] = ()
) -> list[float]:
    """Every ε that something is measured at in place of an attack.

    Args:
        arguments: as parsed.
        instead: the option that asks for it.
        why: it has no use for an attack's options.
        takes: those that it has one for.

    Raises:
        UserError: such an option, or an ε that means nothing.
    """
    chosen = [*_given(arguments), *(name for name in ("iters", "draws", "average") if getattr(arguments, name))]
    chosen += ["attack"] if arguments.attack != "pgd" else []
    chosen += [
        name
        for name in ("attack_set", "threat", "source", "joint", "eight_bit", "keep_images")
        if getattr(arguments, name) and name not in takes
    ]
    for option in chosen:
        raise UserError(f"{_spelled(option)} has no meaning with {instead}, {why}")
    epsilons = arguments.eps or [8 / 255]
    for epsilon in epsilons:
        if not 0 < epsilon <= 1:
            raise UserError(
                f"--eps {epsilon:g}: {instead} needs an ε above 0 and at most 1, in units of the pixel range"
            )
    return list(epsilons)


def check_pairings(arguments: argparse.Namespace, pairings: Sequence[Pairing]) -> None:
    """Refuse options that no pairing has a use for: of transfer, of white-box attacks or of randomized networks.

    Raises:
        UserError: such an option would be ignored.
    """
    attacked = any(pairing.randomized for pairing in pairings)
    judged = any(pairing.target.randomized for pairing in pairings)
    transferred = any(pairing.threat != "white" for pairing in pairings)
    white = any(pairing.threat == "white" for pairing in pairings)
    unserved = {
        "transfer": None if transferred else "serves transfer, and every attack here is white-box",
        "white-box": None if white else "serves white-box attacks, and none here is one",
        "randomized networks": None if attacked else "is for randomized networks, and none is attacked here",
    }
    serves = attack_class(arguments.attack).serves
    for option in {**_given(arguments), **_attack_settings(arguments)}:
        if option in serves and (why := unserved[serves[option]]):
            raise UserError(f"{_spelled(option)} {why}")
    for option in ("keep_images", "eight_bit"):
        if getattr(arguments, option) and not transferred:
            raise UserError(f"{_spelled(option)} {unserved['transfer']}")
    for option in ("draws", "average"):
        if getattr(arguments, option) is not None and not judged:
            raise UserError(f"{_spelled(option)} is for randomized networks, and none is judged here")


def _evaluated() -> list[str]:
    """The attacks with a name, but those of training alone that come with the package."""
    return [name for name in ATTACKS if name not in ATTACKS.built_in or attack_class(name).bounded]


def _built_in() -> list[type[Attack]]:
    return [attack_class(name) for name in ATTACKS.built_in if attack_class(name).bounded]


def _fields_of_attacks() -> dict[str, list[type[Attack]]]:
    """The fields that are options, with the attacks that have them; the others have options of their own."""
    found: dict[str, list[type[Attack]]] = {}
    for kind in _built_in():
        for field in fields(kind):
            if field.name not in ("epsilon", "version", kind.budget):  # --version tells the package's
                found.setdefault(field.name, []).append(kind)
    return found


def _add_field(group: argparse._ArgumentGroup, name: str, kind: type[Attack], *, hidden: bool) -> None:
    """One option: its choices, its default and what it says are the field's own."""
    hint, default = get_type_hints(kind)[name], _default(kind, name)
    says = field_docs(kind).get(name, "").partition(REASON)[0].replace("``", "").rstrip(".").replace("%", "%%")
    if hint is not bool:
        says += f"; default: {default if isinstance(default, str) else f'{default:.4g}'}"
    told = argparse.SUPPRESS if hidden else says
    if hint is bool:
        group.add_argument(_spelled(name), action="store_true", default=None, help=told)
    elif choices := _choices(hint):
        group.add_argument(_spelled(name), choices=choices, help=told)
    else:
        group.add_argument(_spelled(name), type=_value, metavar="X", help=told)


def _choices(hint: Any) -> list[str]:
    """The strings that a Literal allows, also one of Literals; none for other types."""
    parts = get_args(hint)
    return [word for part in parts for word in ([part] if isinstance(part, str) else _choices(part))]


def _value(text: str) -> Any:
    """A field's value as YAML writes it; the attack says whether it fits."""
    try:
        return parse_yaml(text)
    except ValueError:
        return text


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of fields that were given."""
    return {name: value for name in _fields_of_attacks() if (value := getattr(arguments, name)) is not None}


def _attack_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return dict(settings(arguments.attack_set, "--attack-set"))


def _default(kind: type[Attack], field: str) -> Any:
    default = next(one.default for one in fields(kind) if one.name == field)
    default = getattr(default, "default", default)  # of a pydantic field
    if default is MISSING:
        raise UserError(f"--attack {kind.name} has no default for {field}; give it")
    return default


def _spelled(option: str) -> str:
    return "--" + option.replace("_", "-")
