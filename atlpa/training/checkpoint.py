"""Checkpoints: everything a run needs to go on, written so that a crash cannot leave half a file."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from atlpa.errors import UserError, reason
from atlpa.files import atomic_file

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """The content of ``last.pt``.

    Randomness needs no place here: every draw is a function of the seed and the step.

    Fields:
        step: number of steps taken.
        classes: class names, in the order of the logits.
        data: digest of the data set's index.
        experiment: the resolved experiment, as its YAML holds it.
        model: the network's state dict.
        optimizer: the optimizer's state dict.
    """

    step: int
    classes: tuple[str, ...]
    data: str
    experiment: Mapping[str, Any]
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]

    def restore(self, model: nn.Module, optimizer: Optimizer | None = None) -> None:
        """Load the states into a model of the same architecture and, if given, its optimizer."""
        try:
            model.load_state_dict(self.model)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise UserError(f"the checkpoint is of another architecture: {first}") from error
        if optimizer is not None:
            optimizer.load_state_dict(dict(self.optimizer))

    @property
    def weights_hash(self) -> str:
        """SHA-256 over the names and values of the network's state: tells whether records are about these weights.

        What a network draws at inference has no weights but is part of it, and of the digest.
        """
        digest = hashlib.sha256()
        for layer in ("noise", "randomize"):
            if settings := self.experiment["defense"].get(layer):
                digest.update(f"{layer} {json.dumps(settings, sort_keys=True)}".encode())
        for name, value in sorted(self.model.items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint in place of the one before, which a crash leaves whole."""
    with atomic_file(path) as file:
        torch.save({"format": FORMAT, **vars(checkpoint), "classes": list(checkpoint.classes)}, file)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; tensors and plain values only, no code is run.

    Raises:
        UserError: no such file, or not one of this package.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"no checkpoint {path}; train the run first with atlpa-train") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise UserError(f"{path} is no readable checkpoint ({reason(error)})") from error
    wanted = {"format", *(field.name for field in fields(Checkpoint))}
    if not isinstance(content, dict) or content.keys() != wanted or content.pop("format") != FORMAT:
        raise UserError(f"{path} is no checkpoint of this version of atlpa")
    return Checkpoint(**{**content, "classes": tuple(content["classes"])})
