"""The options that say how networks are attacked and judged, and the protocols they ask for.

Each field of an attack that comes with the package is an option; fields of any other are set with ``--attack-set``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

from pydantic import ValidationError

from atlpa.attacks import ATTACKS, Attack, attack_class, read_attack
from atlpa.cli.command import count, number, seed, settings
from atlpa.component import field_docs
from atlpa.errors import UserError, explain
from atlpa.runs import Pairing, Protocol
from atlpa.strict_yaml import parse_yaml


def add_attack_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``protocols`` reads."""
    attack = parser.add_argument_group("the attack")
    add = attack.add_argument
    names, epsilons = ", ".join(_evaluated()), _defaults(dict.fromkeys(_built_in(), "epsilon"))
    add("--attack", metavar="NAME", default="pgd", help=f"{names}, or package.module:attack; default: pgd")
    add("--eps", nargs="+", type=number, metavar="E", help=f"ε in [0, 1] pixels, 0.25 or 64/256; {epsilons}")
    budgets = {kind: kind.budget for kind in _built_in() if kind.budget}
    add("--iters", nargs="+", type=count, metavar="N", help=f"budgets, all from one run; {_defaults(budgets)}")
    for name, kinds in _fields_of_attacks().items():
        _add_field(attack, name, kinds)
    add("--attack-set", action="append", default=[], metavar="FIELD=VALUE", help="any field of the attack (repeatable)")
    add("--eight-bit", action="store_true", help="show transferred images as 8-bit ones, rounded to 1/255 within ε")
    add("--seed", type=seed, default=0, help="of random starts, noise and randomized networks; default: 0")
    random = parser.add_argument_group("randomized networks")
    random.add_argument(
        "--draws", type=count, metavar="D", help="ask the network D times, report mean and spread; default: 10"
    )
    random.add_argument(
        "--average", type=count, metavar="K", help="let the network predict with the mean of K draws; default: 1"
    )


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
    if given.get("restarts", 1) > 1 and len(budgets) > 1:
        raise UserError("--restarts touch only what stands at the last budget; give a single --iters with them")
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


def epsilons_without_attack(arguments: argparse.Namespace, instead: str, why: str) -> list[float]:
    """Every ε that something is measured at in place of an attack.

    Args:
        arguments: as parsed.
        instead: the option that asks for it.
        why: it has no use for an attack's options.

    Raises:
        UserError: such an option, or an ε that means nothing.
    """
    chosen = [*_given(arguments), *(name for name in ("iters", "draws", "average") if getattr(arguments, name))]
    chosen += ["attack"] if arguments.attack != "pgd" else []
    chosen += [
        name
        for name in ("attack_set", "threat", "source", "joint", "eight_bit", "keep_images")
        if getattr(arguments, name)
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
    """The fields that are options, with the attacks that have them; ε and budgets are options of their own."""
    found: dict[str, list[type[Attack]]] = {}
    for kind in _built_in():
        for field in fields(kind):
            if field.name not in ("epsilon", kind.budget):
                found.setdefault(field.name, []).append(kind)
    return found


def _add_field(group: argparse._ArgumentGroup, name: str, kinds: Sequence[type[Attack]]) -> None:
    """One option: its choices, its default and what it says are the field's own."""
    kind = kinds[0]
    hint, owners = get_type_hints(kind)[name], "/".join(kind.name for kind in kinds)
    says = field_docs(kind).get(name, "").replace("``", "").rstrip(".").replace("%", "%%")
    shown = f"{owners}: {says}; {_defaults(dict.fromkeys(kinds, name))}"
    if hint is bool:
        group.add_argument(_spelled(name), action="store_true", default=None, help=f"{owners}: {says}")
    elif choices := _choices(hint):
        group.add_argument(_spelled(name), choices=choices, help=shown)
    else:
        group.add_argument(_spelled(name), type=_value, metavar="X", help=shown)


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


def _defaults(fields_of: Mapping[type[Attack], str]) -> str:
    """The defaults of a field that attacks have, by attack where they differ."""
    found: dict[str, list[str]] = {}
    for kind, field in fields_of.items():
        value = _default(kind, field)
        found.setdefault(value if isinstance(value, str) else f"{value:.4g}", []).append(kind.name)
    if len(found) == 1:
        return f"default: {next(iter(found))}"
    return "default: " + ", ".join(f"{value} ({', '.join(names)})" for value, names in found.items())


def _spelled(option: str) -> str:
    return "--" + option.replace("_", "-")
