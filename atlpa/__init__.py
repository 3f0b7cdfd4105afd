"""ATLPA: adversarial tolerant logit pairing with attention, and the defenses it is compared with.

What most people want is here: ``from atlpa import PGD, ATLPALoss, evaluate``; everything else in its package:
``atlpa.losses``, ``atlpa.attacks``, ``atlpa.models``, ``atlpa.evaluation`` … A name is imported when it is first asked
for, so that losses need torch alone, and records and reports not even that.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atlpa.attacks import FGSM as FGSM
    from atlpa.attacks import PGD as PGD
    from atlpa.attacks import Attack as Attack
    from atlpa.attacks import AutoAttack as AutoAttack
    from atlpa.attacks import Ensemble as Ensemble
    from atlpa.attacks import Square as Square
    from atlpa.evaluation import credibility as credibility
    from atlpa.evaluation import evaluate as evaluate
    from atlpa.losses import ATLPALoss as ATLPALoss
    from atlpa.models import record_stages as record_stages

__version__ = "0.1.0"

_HOMES = {
    "atlpa.attacks": ("Attack", "AutoAttack", "Ensemble", "FGSM", "PGD", "Square"),
    "atlpa.evaluation": ("credibility", "evaluate"),
    "atlpa.losses": ("ATLPALoss",),
    "atlpa.models": ("record_stages",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *(name for names in _HOMES.values() for name in names)])
