"""Attacks on any callable ``images -> logits``. Each is a frozen value: its fields are its settings."""

from atlpa.attacks.auto_attack import AutoAttack
from atlpa.attacks.noise import Noise
from atlpa.attacks.objectives import OBJECTIVES
from atlpa.attacks.pgd import PGD, fgsm
from atlpa.attacks.undisturbed import undisturbed

Attack = PGD | AutoAttack | Noise
"""Any of them: ``attack(model, images, labels, generator=…)`` and ``attack.iterates(…)``."""

__all__ = ["OBJECTIVES", "PGD", "Attack", "AutoAttack", "Noise", "fgsm", "undisturbed"]
