"""``last.pt`` and ``best.pt``: written so that a crash cannot leave half a file, read so that nothing is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import Tensor

from atlpa.errors import UserError, reason, shown
from atlpa.tensor_files import read_tensors, write_sealed
from atlpa.training.checkpoint import REMEDY, Checkpoint

FORMAT = 3
"""Of what they hold. Format 2 had no average; format 1 had no seal either, and kept the optimizer's settings. Both are
read too."""


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint in place of the one before, which a crash leaves whole."""
    write_sealed({"format": FORMAT, **vars(checkpoint), "classes": list(checkpoint.classes)}, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; tensors and plain values only, no code is run.

    A file that is not byte for byte what was written is refused, and one that holds what no training writes. What its
    tensors are to fill decides whether they fit: ``Checkpoint.restore``.

    Raises:
        UserError: no such file, or not one of this package.
    """
    try:
        content, sealed = read_tensors(path)
    except FileNotFoundError as error:
        raise UserError(f"no checkpoint {path}; train the run first with atlpa-train") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {REMEDY}") from error
    except ValueError as error:
        raise UserError(f"{path} is no readable checkpoint ({reason(error)}); {REMEDY}") from error
    found = dict(content) if isinstance(content, dict) else {}
    version = found.pop("format", None)
    version = version if type(version) is int else 0
    if version > FORMAT:
        raise UserError(f"{path} is a checkpoint of a newer atlpa (format {shown(version)}, here {FORMAT}); update it")
    if version < 3:
        found.setdefault("averaged", None)
    if (version, sealed) not in ((3, True), (2, True), (1, False)) or found.keys() != {
        one.name for one in fields(Checkpoint)
    }:
        raise UserError(f"{path} is no checkpoint of this version of atlpa; {REMEDY}")
    if not sealed:
        found["optimizer"] = _states_of_format_1(found["optimizer"])
    if wrong := [name for name, check in _KINDS.items() if not check(found[name])]:
        raise UserError(f"{path} is no checkpoint: its {wrong[0]} is {shown(found[wrong[0]])}; {REMEDY}")
    return Checkpoint(**{**found, "classes": tuple(found["classes"])})


def _states_of_format_1(optimizer: Any) -> Any:
    """The states of what was an optimizer's ``state_dict``; ``None`` if it was none."""
    try:
        count = sum(len(group["params"]) for group in optimizer["param_groups"])
        return [optimizer["state"].get(number, {}) for number in range(count)]
    except (LookupError, TypeError, AttributeError):
        return None


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(inner, Tensor) for name, inner in value.items()
    )


def _is_plain(value: Any) -> bool:
    """Whether a mapping comes back from JSON as it is, and so holds nothing but what YAML can."""
    try:
        return isinstance(value, dict) and bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


_KINDS: dict[str, Callable[[Any], bool]] = {
    "step": lambda step: type(step) is int and step >= 0,
    "classes": lambda names: isinstance(names, list) and all(isinstance(name, str) for name in names) and bool(names),
    "data": lambda digest: isinstance(digest, str),
    "experiment": _is_plain,
    "model": _is_state,
    "optimizer": lambda states: isinstance(states, list) and all(map(_is_state, states)),
    "averaged": lambda state: state is None or _is_state(state),
}
