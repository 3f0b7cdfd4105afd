"""A defense is data: which images it trains on and a weighted sum of named loss terms. Each preset is a small YAML."""

from atlpa.defenses.defense import Defense
from atlpa.defenses.preset import load_preset, preset_names
from atlpa.defenses.terms import Terms, Views

__all__ = ["Defense", "Terms", "Views", "load_preset", "preset_names"]
