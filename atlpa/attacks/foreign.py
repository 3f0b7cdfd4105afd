"""Attacks of other packages as ours: ``factory(model, eps=ε, …)(images, labels)``, as torchattacks has it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from atlpa.attacks.attack import Attack
from atlpa.errors import UserError, reason
from atlpa.model_state import Logits
from atlpa.randomness import Generators

EPSILONS = ("eps", "epsilon")


class AsModule(nn.Module):
    """A callable as the module that other packages want, with a parameter that tells its device."""

    def __init__(self, logits: Logits, device: torch.device) -> None:
        super().__init__()
        self.logits, self.device = logits, nn.Parameter(torch.empty(0, device=device), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` to logits ``(B, C)``."""
        return self.logits(images)


def as_module(model: Logits, device: torch.device) -> nn.Module:
    """The model itself, or a callable wrapped."""
    return model if isinstance(model, nn.Module) else AsModule(model, device)


def seed_of(generator: Generators) -> int:
    """A seed for packages that draw from torch's global generator: the same for the same batch."""
    first = generator if isinstance(generator, torch.Generator) or generator is None else generator[0]
    return first.initial_seed() % 2**31 if first else 0


class ForeignAttack(Attack):
    """An attack of another package; its further fields are the arguments of its factory, with their defaults.

    It gives one iterate, its result, whatever number of steps it makes.
    """

    factory: ClassVar[Callable[..., Callable[[Tensor, Tensor], Tensor]]]
    epsilon_argument: ClassVar[str]

    def perturb(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> Tensor:
        """What the other package makes of the images."""
        settings = {name: value for name, value in vars(self).items() if name != "epsilon" and name[0] != "_"}
        with torch.random.fork_rng():
            torch.manual_seed(seed_of(generator))
            attack = type(self).factory(
                as_module(model, images.device), **{self.epsilon_argument: self.epsilon}, **settings
            )
            adversarial = attack(images.clone(), labels.clone())
        if not isinstance(adversarial, Tensor) or adversarial.shape != images.shape:
            shape = tuple(adversarial.shape) if isinstance(adversarial, Tensor) else type(adversarial).__name__
            raise UserError(f"{self.name} gave {shape} for images {tuple(images.shape)}; it must give their like")
        return adversarial


@cache
def foreign_attack(name: str, factory: Callable[..., Any]) -> type[Attack]:
    """The attack that a factory of another package makes.

    Args:
        name: its import path or entry point.
        factory: takes the model, ε as ``eps`` or ``epsilon``, and settings; gives what takes images and labels.

    Raises:
        UserError: it has no such arguments.
    """
    try:
        _model, *parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError) as error:
        raise UserError(f"attack {name!r} is no attack: it takes no model ({reason(error)})") from error
    epsilon = next((parameter.name for parameter in parameters if parameter.name in EPSILONS), None)
    if epsilon is None:
        raise UserError(
            f"attack {name!r} is no subclass of atlpa.Attack, nor has it an argument {' or '.join(EPSILONS)} beside "
            "its model"
        )
    content: dict[str, Any] = {"__module__": __name__, "__doc__": inspect.getdoc(factory), "name": name}
    content |= {"factory": staticmethod(factory), "epsilon_argument": epsilon, "__annotations__": {}}
    for parameter in parameters:
        if parameter.name != epsilon and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            content["__annotations__"][parameter.name] = Any
            if parameter.default is not parameter.empty:
                content[parameter.name] = Field(default=parameter.default)
    return type(factory.__name__, (ForeignAttack,), content)
