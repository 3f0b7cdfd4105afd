"""Attacks of other packages as ours: fields are the arguments of what makes them, and their images keep to the ball."""

from __future__ import annotations

import copy
import inspect
import random
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from atlpa.attacks.attack import Attack
from atlpa.attacks.foreign_packages import ANY, Package, as_module
from atlpa.attacks.norms import BALLS
from atlpa.errors import UserError, reason, shown
from atlpa.field_types import parse_number
from atlpa.model_state import Logits, random_layers, with_generators
from atlpa.randomness import Generators

NORMS = {"inf": "Linf", "2": "L2", "1": "L1", "0": "L0"}


def seed_of(generator: Generators) -> int:
    """A seed for packages that draw from global generators: the same for the same batch."""
    first = generator if isinstance(generator, torch.Generator) or generator is None else generator[0]
    return first.initial_seed() % 2**31 if first else int(torch.randint(2**31, ()))


class ForeignAttack(Attack):
    """An attack of another package; its further fields are the arguments of its factory, with their defaults.

    It gives one iterate, its result, whatever number of steps it makes, projected onto the ε-ball and [0, 1].
    """

    factory: ClassVar[Callable[..., Any]]
    package: ClassVar[Package]
    epsilon_argument: ClassVar[str]
    measured_in: ClassVar[str]

    @property
    def norm(self) -> str:
        """In which the package measures ε; attacks that know several have a field of this name."""
        return self.measured_in

    def perturb(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> Tensor:
        """What the other package makes of the images."""
        settings = {name: value for name, value in vars(self).items() if name != "epsilon" and name[0] != "_"}
        settings[self.epsilon_argument] = self.epsilon
        module, given = twin(model, images.device), (images.clone(), labels.clone())
        seed = seed_of(generator)
        with seeded(seed), drawing_alike(module, images.device, seed):
            adversarial = self.package.attacked(self._make, module, *given, settings)
        if not isinstance(adversarial, Tensor) or adversarial.shape != images.shape:
            shape = tuple(adversarial.shape) if isinstance(adversarial, Tensor) else type(adversarial).__name__
            raise UserError(f"{self.name} gave {shape} for images {tuple(images.shape)}; it must give their like")
        adversarial = adversarial.detach().clone()
        return self.ball(images).project(adversarial) if self.norm in BALLS else adversarial.clamp_(0, 1)

    def _make(self, *given: Any, **settings: Any) -> Any:
        try:
            return type(self).factory(*given, **settings)
        except Exception as error:  # of somebody else's constructor, which may raise anything
            raise UserError(f"{self.name} cannot be made with these settings: {reason(error)}") from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed every global generator, and put them back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def drawing_alike(model: nn.Module, device: torch.device, seed: int) -> AbstractContextManager[None]:
    """Let a model's random layers draw for any images, all from one generator: others ask for some of a batch alone."""
    return with_generators(model, torch.Generator(device).manual_seed(seed))


def twin(model: Logits, device: torch.device) -> nn.Module:
    """A module that others may put hooks on, clear the gradients of and take apart; the weights are shared.

    A model that cannot be copied is out of their reach instead.
    """
    if not isinstance(model, nn.Module):
        return as_module(model, device)
    kept: dict[int, Any] = {id(layer.generators): layer.generators for layer in random_layers(model)}
    kept |= {id(parameter): nn.Parameter(parameter.detach(), requires_grad=False) for parameter in model.parameters()}
    kept |= {id(buffer): buffer.detach() for buffer in model.buffers()}
    try:
        return copy.deepcopy(model, kept)
    except Exception:  # of somebody else's module, which may raise anything
        return as_module(model.__call__, device)


@cache
def foreign_attack(name: str, factory: Callable[..., Any], package: Package = ANY) -> type[Attack]:
    """The attack that a factory of another package makes.

    Args:
        name: its import path or entry point.
        factory: takes a model, but where the call does, ε as one of its package's ``epsilons``, and settings.
        package: how its attacks are called.

    Raises:
        UserError: it has no such arguments.
    """
    try:
        parameters = list(inspect.signature(factory).parameters.values())
        if package.epsilons is not None:
            _model, *parameters = parameters
    except (TypeError, ValueError) as error:
        raise UserError(f"attack {name!r} is no attack: it takes no model ({reason(error)})") from error
    names = [parameter.name for parameter in parameters]
    epsilon = "epsilons" if package.epsilons is None else next((one for one in package.epsilons if one in names), None)
    if epsilon is None:
        raise UserError(
            f"attack {name!r} is no subclass of atlpa.Attack, nor has it an argument "
            f"{' or '.join(package.epsilons or ())} beside its model"
        )
    content: dict[str, Any] = {"__module__": __name__, "__doc__": inspect.getdoc(factory), "name": name}
    content |= {"factory": staticmethod(factory), "package": package, "epsilon_argument": epsilon}
    content |= {"measured_in": _norm_of(factory), "__annotations__": {}}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.name == epsilon or parameter.name in package.filled_in:
            continue
        default = package.defaults.get(parameter.name, parameter.default)
        if parameter.name == "norm":
            default = norm_name(default)
        content["__annotations__"][parameter.name] = Annotated[Any, _like(parameter.name, default)]
        if default is not parameter.empty:
            content[parameter.name] = Field(default=default)
    return type(factory.__name__, (ForeignAttack,), content, kw_only=True)  # one without a default may follow others


def norm_name(norm: Any) -> Any:
    """What a norm is called here, ``Linf`` or ``L2``, where packages say 2 or infinity; others are left as they are."""
    return NORMS.get(f"{norm:g}" if isinstance(norm, int | float) else str(norm), norm)


def _norm_of(factory: Any) -> str:
    """In which an attack measures ε that has no argument for it: foolbox says it, others have it in the name."""
    if (order := getattr(getattr(factory, "distance", None), "p", None)) is not None:
        return str(norm_name(order))
    named = re.search(r"^L(inf|[0-2])[A-Z][A-Za-z]|L([0-2])$", getattr(factory, "__name__", ""))
    return NORMS[named[1] or named[2]] if named else "Linf"


def _like(name: str, default: Any) -> BeforeValidator:
    """What a field may be, as far as its default says: the packages' own arguments have no types."""

    def check(value: Any) -> Any:
        if name == "norm":
            return norm_name(value)
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise ValueError(f"{shown(value)}; give true or false")
        elif isinstance(default, int | float):
            value = parse_number(value)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{shown(value)}; give a number, such as {default:g}")
            return float(value) if isinstance(default, float) else value
        elif isinstance(value, str) and "/" in value:  # a fraction, where the default is none
            return parse_number(value)
        return value

    return BeforeValidator(check)
