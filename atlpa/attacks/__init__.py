"""Attacks on any callable ``images → logits``. Each is a frozen value: its fields are its settings."""

from atlpa.attacks.adapters import AsART, AsFoolbox, AsTorchattacks
from atlpa.attacks.apgd import APGD
from atlpa.attacks.attack import Attack
from atlpa.attacks.auto_attack import AutoAttack
from atlpa.attacks.by_name import ATTACK_FIELDS, ATTACKS, AnyAttack, attack_class, read_attack
from atlpa.attacks.carry_out import carry_out
from atlpa.attacks.ensemble import Ensemble
from atlpa.attacks.fab import FAB
from atlpa.attacks.fgsm import FGSM, NFGSM, RSFGSM
from atlpa.attacks.fmn import FMN
from atlpa.attacks.mi_fgsm import BSR, DIFGSM, MIFGSM, NIFGSM, SIFGSM, TIFGSM, VMIFGSM
from atlpa.attacks.noise import NoAttack, Noise
from atlpa.attacks.norms import BALLS, Norm
from atlpa.attacks.objectives import OBJECTIVES
from atlpa.attacks.pgd import PGD
from atlpa.attacks.rows import Rows, State
from atlpa.attacks.square import Square
from atlpa.attacks.stepwise import Cost, Stepwise

__all__ = [
    "APGD",
    "ATTACKS",
    "ATTACK_FIELDS",
    "BALLS",
    "BSR",
    "DIFGSM",
    "FAB",
    "FGSM",
    "FMN",
    "MIFGSM",
    "NFGSM",
    "NIFGSM",
    "OBJECTIVES",
    "PGD",
    "RSFGSM",
    "SIFGSM",
    "TIFGSM",
    "VMIFGSM",
    "AnyAttack",
    "AsART",
    "AsFoolbox",
    "AsTorchattacks",
    "Attack",
    "AutoAttack",
    "Cost",
    "Ensemble",
    "NoAttack",
    "Noise",
    "Norm",
    "Rows",
    "Square",
    "State",
    "Stepwise",
    "attack_class",
    "carry_out",
    "read_attack",
]
