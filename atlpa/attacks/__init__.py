"""Attacks on any callable ``images -> logits``. Each is a frozen value: its fields are its settings."""

from atlpa.attacks.noise import Noise
from atlpa.attacks.objectives import OBJECTIVES
from atlpa.attacks.pgd import PGD, fgsm
from atlpa.attacks.undisturbed import undisturbed

__all__ = ["OBJECTIVES", "PGD", "Noise", "fgsm", "undisturbed"]
