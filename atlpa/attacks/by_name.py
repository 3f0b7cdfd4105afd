"""The table of attacks: what a name in YAML, on the command line or in a record stands for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from atlpa.attacks.apgd import APGD
from atlpa.attacks.attack import Attack
from atlpa.attacks.auto_attack import AutoAttack
from atlpa.attacks.ensemble import Ensemble
from atlpa.attacks.fab import FAB
from atlpa.attacks.fgsm import FGSM, NFGSM, RSFGSM
from atlpa.attacks.fmn import FMN
from atlpa.attacks.foreign import foreign_attack
from atlpa.attacks.foreign_packages import package_of
from atlpa.attacks.mi_fgsm import BSR, DIFGSM, MIFGSM, NIFGSM, SIFGSM, TIFGSM, VMIFGSM
from atlpa.attacks.noise import NoAttack, Noise
from atlpa.attacks.pgd import PGD
from atlpa.attacks.square import Square
from atlpa.component import validate
from atlpa.editors import ByName
from atlpa.errors import UserError
from atlpa.registry import Registry

_TRANSFERRED = (MIFGSM, NIFGSM, TIFGSM, SIFGSM, DIFGSM, VMIFGSM, BSR)
_OURS = (PGD, APGD, FAB, FMN, FGSM, RSFGSM, NFGSM, *_TRANSFERRED, Square, Ensemble, AutoAttack, Noise, NoAttack)

ATTACKS: Registry[Any] = Registry("attack", "atlpa.attacks", {attack.name: attack for attack in _OURS})
"""Name → class; of another package also what makes its attacks (see ``foreign_attack``)."""


def attack_class(name: str) -> type[Attack]:
    """The class of attacks that a name stands for.

    Raises:
        UserError: there is none; the nearest name is offered.
    """
    if package := package_of(name):
        return foreign_attack(name, package.factory(name), package)
    found: Any = ATTACKS[name]
    if not (isinstance(found, type) and issubclass(found, Attack)):
        if not callable(found):
            raise UserError(f"attack {name!r} is a {type(found).__name__}; give a subclass of atlpa.Attack")
        return foreign_attack(name, found)
    kind: Any = found
    return _renamed(name, kind) if found.name != name else found


@cache
def _renamed(name: str, attack: Any) -> type[Attack]:
    """The same attack under the name that it was found by, so that records and YAML lead back to it."""
    return type(attack.__name__, (attack,), {"name": name, "__doc__": attack.__doc__, "__module__": attack.__module__})


def read_attack(value: Any) -> Any:
    """An attack from a mapping with its ``name`` (``pgd`` where it is left out) and fields; others are left alone.

    Raises:
        ValueError: no such attack, or fields that it does not have.
    """
    if not isinstance(value, Mapping):
        return value
    fields = dict(value)
    name = fields.pop("name", PGD.name)
    return validate(attack_class(str(name)), fields)


def _settings(attack: Attack) -> dict[str, Any]:
    return attack.settings()


ATTACK_FIELDS = ByName(ATTACKS, attack_class, default=PGD.name)
"""What an editor is told of it."""

AnyAttack = Annotated[Attack, BeforeValidator(read_attack), PlainSerializer(_settings), ATTACK_FIELDS]
"""A field that holds an attack: a mapping with its name in YAML."""
