"""The defenses of the paper's Table 1, one YAML file each in ``presets/``."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from atlpa.errors import UserError, unknown_name

_FOLDER = files("atlpa.defenses") / "presets"

TUNED_SIZE, TUNED_WEIGHTS = 64, "none"
"""Where values were chosen: images of this size, a network from these weights (ResNet-18, docs/defenses.md)."""


def preset_names() -> list[str]:
    """Every preset's name."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml"))


class Preset(NamedTuple):
    """A defense's fields, with the idea in one line and the publication it comes from.

    ``tuned`` are the dotted fields whose values were chosen by us, on a small network, for want of published ones.
    """

    fields: dict[str, Any]
    idea: str
    source: str
    tuned: tuple[str, ...] = ()


def load_preset(name: str) -> Preset:
    """Read a preset's file.

    Raises:
        UserError: no preset has this name; the nearest is offered.

    Examples:
        >>> from atlpa.defenses import load_preset
        >>> print(load_preset("atlpa").idea)
        pat whose top logits stay close (Eq. 3) and whose attention maps agree (Eq. 4)
        >>> load_preset("atlpa").fields["terms"]["tolerant_logit"]  # of the fields that YAML may change
        {'weight': 0.1}
    """
    if name not in preset_names():
        raise UserError(unknown_name("defense", name, preset_names()))
    content: dict[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    idea, source, tuned = content.pop("idea"), content.pop("source"), content.pop("tuned", ())
    return Preset({"name": name, **content}, idea, source, tuple(tuned))
