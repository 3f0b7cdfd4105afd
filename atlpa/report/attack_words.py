"""What attacks are called in tables, and what was measured with them, from the settings in records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atlpa.errors import one_line
from atlpa.records import Evaluation
from atlpa.records.attack_settings import TRANSFERRED

PGD = "pgd"


def attack_title(attack: Mapping[str, Any]) -> str:
    """A name for a column: what a record says, or as the field calls what a transfer attack is made of.

    Such as ``SI-NI-TI-DI-FGSM`` or ``BSR-MI-FGSM``.
    """
    if attack["name"] not in TRANSFERRED:
        return one_line(attack["name"], 60)
    base = "NI" if attack["nesterov"] else "MI" if attack["momentum"] else "I"
    parts = [
        "BSR-" if attack["copies"] else "",
        "SI-" if attack["scales"] > 1 else "",
        f"V{base}-" if attack["neighbors"] else f"{base}-",
        "TI-" if attack["kernel"] > 1 else "",
        "DI-" if attack["diversity"] else "",
    ]
    return f"{''.join(parts)}FGSM"


def measured(record: Evaluation) -> str:
    """A line: on which images, with which attack, each setting that matters."""
    attack, data, last = record.attack, record.data, record.budgets[-1].iterations
    name = attack["name"]
    if name in TRANSFERRED:
        how = _transferred(attack, last)
    elif name == PGD:
        how = _pgd(attack, last)
    else:
        ours = {
            "none": "no attack",
            "noise": "uniform noise",
            "fgsm": "FGSM",
            "autoattack": "AutoAttack",
            "ensemble": f"the ensemble, {attack.get('version')} version",
            "square": f"Square attack, {last} queries",
        }
        how = ours.get(name) or _others(attack, last)
    how += ", in L2" if record.norm == "L2" and "norm L2" not in how else ""
    how += ", shown as 8-bit images" if record.eight_bit else ""
    return f"{data.count} of {data.available} {data.part} images of {data.dataset} at {data.size}×{data.size}; {how}."


def _pgd(attack: Mapping[str, Any], last: int) -> str:
    if last == 1 and attack["step"] == attack["epsilon"]:
        return "FGSM"
    how = f"PGD, {attack['start']} start, step {attack['step']:.4g}, {last} iterations"
    how += _loss(attack)
    how += f", momentum {attack['momentum']:g}" if attack.get("momentum") else ""
    how += f", input diversity {attack['diversity']:g}" if attack.get("diversity") else ""
    how += f", {attack['restarts']} restarts" if attack["restarts"] > 1 else ""
    how += f", gradients averaged over {attack['eot']} draws" if attack["eot"] > 1 else ""
    how += ", draws held fixed" if attack["fixed_draws"] else ""
    return how + _precision(attack)


def _transferred(attack: Mapping[str, Any], last: int) -> str:
    how = f"{attack_title(attack)}, steps of {attack['alpha']:g} ε, {last} iterations{_loss(attack)}"
    how += f", momentum {attack['momentum']:g}" if attack["momentum"] else ""
    how += f", {attack['scales']} scales" if attack["scales"] > 1 else ""
    how += f", kernel {attack['kernel']}×{attack['kernel']}" if attack["kernel"] > 1 else ""
    how += f", {attack['neighbors']} neighbors within {attack['beta']:g} ε" if attack["neighbors"] else ""
    if attack["copies"]:
        cut = f"{attack['blocks']}×{attack['blocks']} blocks turned by up to {attack['rotation']:g}°"
        how += f", {attack['copies']} copies in {cut}"
    how += f", input diversity {attack['diversity']:g}" if attack["diversity"] else ""
    return how + _precision(attack)


def _loss(attack: Mapping[str, Any]) -> str:
    return "" if attack["loss"] == "cross_entropy" else f", climbing {attack['loss']}"


def _precision(attack: Mapping[str, Any]) -> str:
    return ", gradients in bf16" if attack.get("precision") == "bf16" else ""


def _others(attack: Mapping[str, Any], budget: int) -> str:
    """An attack that this package has no words for, with every setting."""
    settings = [one_line(f"{name} {value}", 120) for name, value in attack.items() if name not in ("name", "epsilon")]
    return ", ".join([str(attack["name"]), *([f"{budget} iterates"] if budget > 1 else []), *settings])
