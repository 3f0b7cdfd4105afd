"""An attack's settings as a record holds them, and what is demanded of those that reports read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from atlpa.errors import shown
from atlpa.records.checked import LARGEST_LENGTH, as_lines

NORM_SIGNS = {"Linf": "‖δ‖∞", "L2": "‖δ‖₂"}
"""How the size of a change is written, by the norm it is measured in."""

TRANSFERRED = ("mi_fgsm", "ni_fgsm", "ti_fgsm", "si_fgsm", "di_fgsm", "vmi_fgsm", "bsr")
"""The names of one attack, which differ in their defaults; what it is called in full follows from its fields."""

_NUMBER, _WHOLE, _WORD, _SWITCH = (float, int), (int,), (str,), (bool,)
_ALL = {"name": _WORD, "epsilon": _NUMBER}
_PGD = {"step": _NUMBER, "start": _WORD, "loss": _WORD, "restarts": _WHOLE, "eot": _WHOLE, "fixed_draws": _SWITCH}
_MI = {
    "alpha": _NUMBER,
    "loss": _WORD,
    "momentum": _NUMBER,
    "nesterov": _SWITCH,
    "kernel": _WHOLE,
    "scales": _WHOLE,
    "neighbors": _WHOLE,
    "beta": _NUMBER,
    "copies": _WHOLE,
    "blocks": _WHOLE,
    "rotation": _NUMBER,
    "diversity": _NUMBER,
}
_SAID = {"pgd": _PGD, **dict.fromkeys(TRANSFERRED, _MI)}
"""What every version of this package says of its attacks, and which types that has."""
_SINCE = {"pgd": {"momentum": _NUMBER, "diversity": _NUMBER}}
"""What later versions say beside it."""


def check_settings(attack: dict[str, Any]) -> dict[str, Any]:
    """An attack's settings, each text a line.

    Raises:
        ValueError: it has no name, no ε of 0 or more (in L∞ at most 1), a norm that is neither L∞ nor L2, or is one of
            ours without what that has.
    """
    name = attack.get("name")
    own, since = (of.get(name, {}) if isinstance(name, str) else {} for of in (_SAID, _SINCE))
    wanted = {**_ALL, **own, **{field: types for field, types in since.items() if field in attack}}
    for field, types in wanted.items():
        if type(attack.get(field)) not in types:
            raise ValueError(f"its {field} should be of type {types[0].__name__}, given {shown(attack.get(field))}")
    if (norm := attack.get("norm", "Linf")) not in list(NORM_SIGNS):
        raise ValueError(f"its norm is {shown(norm)}, known are {', '.join(NORM_SIGNS)}")
    farthest, allowed = (1.0, "[0, 1]") if norm == "Linf" else (LARGEST_LENGTH, "what an image can be moved by")
    if not 0 <= attack["epsilon"] <= farthest:
        raise ValueError(f"its epsilon {shown(attack['epsilon'])} is outside {allowed}")
    settings: dict[str, Any] = as_lines(attack)
    return settings


AttackSettings = Annotated[dict[str, Any], AfterValidator(check_settings)]
"""An attack's name, its ε and its other settings as plain values."""
