"""Checkpoints: everything a run needs to go on, and how a network and its optimizer take it up again."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from atlpa.errors import UserError
from atlpa.tensor_files import misfits, own_memory

REMEDY = "restore it from a backup, or remove the run's folder to train anew"

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The content of ``last.pt``, and of ``best.pt``, which holds the judged network alone.

    Randomness needs no place here: every draw is a function of the seed and the step. Nor do the optimizer's settings,
    which are the experiment's.

    Fields:
        step: number of steps taken.
        classes: class names, in the order of the logits.
        data: digest of the data set's index.
        experiment: the resolved experiment, as its YAML holds it.
        model: the state dict of the network in training.
        optimizer: what the optimizer keeps of each parameter (``optimizer_state``).
        averaged: that of the average of the network's weights, where there is one.
    """

    step: int
    classes: tuple[str, ...]
    data: str
    experiment: Mapping[str, Any]
    model: State
    optimizer: Sequence[State]
    averaged: State | None = None

    @property
    def network(self) -> State:
        """The network that is judged: the average, or else the one in training."""
        return self.model if self.averaged is None else self.averaged

    def restore(self, model: nn.Module) -> None:
        """Load the network that is judged into a model of the same architecture.

        Raises:
            UserError: a tensor is missing, unknown, of another shape or type, or not finite. It is found before any of
                them is used.
        """
        _must_fit(self.network, model.state_dict(), "network")
        model.load_state_dict(self.network)

    def resume(self, model: nn.Module, optimizer: Optimizer, averaged: nn.Module | None = None) -> None:
        """Load everything that training goes on with; errors as of ``restore``.

        Args:
            model: the network in training.
            optimizer: of the model.
            averaged: the average of its weights, where there is one.
        """
        if (averaged is None) != (self.averaged is None):
            kind = "without" if averaged else "with"
            raise UserError(f"it is of a training {kind} an average of the weights; {REMEDY}")
        _must_fit(self.model, model.state_dict(), "network")
        if averaged and self.averaged:
            _must_fit(self.averaged, averaged.state_dict(), "average")
        kept = _kept(self.optimizer, optimizer)
        model.load_state_dict(self.model)
        if averaged and self.averaged:
            averaged.load_state_dict(self.averaged)
        optimizer.state.update(zip(_parameters(optimizer), kept, strict=True))

    @property
    def weights_hash(self) -> str:
        """SHA-256 over the names and values of the judged network's state: tells whether records are about it.

        What a network draws at inference has no weights but is part of it, and of the digest.
        """
        digest = hashlib.sha256()
        for layer in ("noise", "randomize"):
            if settings := self.experiment["defense"].get(layer):
                digest.update(f"{layer} {json.dumps(settings, sort_keys=True)}".encode())
        for name, value in sorted(self.network.items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def optimizer_state(optimizer: Optimizer) -> list[State]:
    """The tensors that an optimizer keeps of each parameter, in their order."""
    return [
        {name: value for name, value in optimizer.state.get(parameter, {}).items() if isinstance(value, Tensor)}
        for parameter in _parameters(optimizer)
    ]


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _kept(given: Sequence[State], optimizer: Optimizer) -> list[State]:
    """What was kept of each parameter, as the optimizer itself lays it out: its kernels do not look at strides.

    What that is, a step of a copy shows. A parameter that no step has used has nothing kept of it.
    """
    twin = copy.deepcopy(optimizer)
    for parameter in _parameters(twin):
        parameter.grad = torch.zeros_like(parameter)
    twin.step()
    states = optimizer_state(twin)
    if len(given) != len(states):
        raise UserError(f"it is of another optimizer: {len(given)} parameters instead of {len(states)}; {REMEDY}")
    if any(given):
        states = [state if kept else {} for state, kept in zip(states, given, strict=True)]
    _must_fit(_by_name(given), _by_name(states), "optimizer")
    return [
        {name: value.copy_(kept[name]) for name, value in state.items()}
        for state, kept in zip(states, given, strict=True)
    ]


def _by_name(states: Sequence[State]) -> dict[str, Tensor]:
    return {
        f"{name} of parameter {number}": value for number, state in enumerate(states) for name, value in state.items()
    }


def _must_fit(given: State, like: State, of: str) -> None:
    wrong = misfits(given, like)
    if not wrong and own_memory(given.values()) < own_memory(like.values()):
        wrong = ["several of its tensors are one"]
    if wrong:
        raise UserError(f"it does not fit the {of}: {', '.join(wrong[:3])}{' …' if wrong[3:] else ''}; {REMEDY}")
