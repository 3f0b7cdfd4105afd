"""Attacks on any callable ``images -> logits``. Each is a frozen value: its fields are its settings."""

from atlpa.attacks.auto_attack import AutoAttack
from atlpa.attacks.noise import Noise
from atlpa.attacks.objectives import OBJECTIVES
from atlpa.attacks.pgd import PGD, fgsm
from atlpa.attacks.square import Square
from atlpa.model_state import eval_mode

Attack = PGD | Square | AutoAttack | Noise
"""Any of them: ``attack(model, images, labels, generator=…)`` and ``attack.iterates(…)``.

Both raise ``ValueError`` on images or labels that cannot be attacked, and give images that are part of no graph.
"""

__all__ = ["OBJECTIVES", "PGD", "Attack", "AutoAttack", "Noise", "Square", "eval_mode", "fgsm"]
