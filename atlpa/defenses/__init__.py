"""A defense is data: which images it trains on and a weighted sum of named loss terms. Each preset is a small YAML."""

from atlpa.defenses.classification import Classification
from atlpa.defenses.defense import Defense
from atlpa.defenses.paired import Paired, PairedLogits
from atlpa.defenses.preset import load_preset, preset_names
from atlpa.defenses.term import Term, View, Views
from atlpa.defenses.terms import TERMS
from atlpa.defenses.weight_perturbation import WeightPerturbation
from atlpa.defenses.written import AnyDefense, DefenseFields

__all__ = [
    "TERMS",
    "AnyDefense",
    "Classification",
    "Defense",
    "DefenseFields",
    "Paired",
    "PairedLogits",
    "Term",
    "View",
    "Views",
    "WeightPerturbation",
    "load_preset",
    "preset_names",
]
