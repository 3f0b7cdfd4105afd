"""How attacks of other packages are found and called, each as its manual shows: data, of which a call is a line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from inspect import isclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from atlpa.errors import UserError, unknown_name
from atlpa.model_state import Logits
from atlpa.registry import UntrustedCode, import_path

Make = Callable[..., Any]
"""What makes an attack from its settings."""

Attacked = Callable[[Make, nn.Module, Tensor, Tensor, dict[str, Any]], Any]
"""What a package's attack, with settings, makes of a model, images ``(B, 3, H, W)`` in [0, 1] and labels ``(B,)``."""


class AsModule(nn.Module):
    """A callable as the module that other packages want, with a parameter that tells its device."""

    def __init__(self, logits: Logits, device: torch.device) -> None:
        super().__init__()
        self.logits, self.device = logits, nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` to logits ``(B, C)``."""
        return self.logits(images)


def as_module(model: Logits, device: torch.device) -> nn.Module:
    """The model itself, or a callable wrapped."""
    return model if isinstance(model, nn.Module) else AsModule(model, device)


def _torchattacks(make: Make, model: nn.Module, images: Tensor, labels: Tensor, settings: dict[str, Any]) -> Any:
    return make(model, **settings)(images, labels)


def _torchattack(make: Make, model: nn.Module, images: Tensor, labels: Tensor, settings: dict[str, Any]) -> Any:
    return make(model, normalize=None, device=images.device, **settings)(images, labels)


def _foolbox(make: Make, model: nn.Module, images: Tensor, labels: Tensor, settings: dict[str, Any]) -> Any:
    from foolbox.criteria import Misclassification
    from foolbox.models.pytorch import PyTorchModel

    epsilon = settings.pop("epsilons")
    bounded = PyTorchModel(model, bounds=(0, 1), device=images.device)
    _, clipped, _ = make(**settings)(bounded, images, Misclassification(labels), epsilons=epsilon)
    return clipped


def _art(make: Make, model: nn.Module, images: Tensor, labels: Tensor, settings: dict[str, Any]) -> Any:
    from art.estimators.classification import PyTorchClassifier

    if images.dtype != torch.float32:  # which it turns all images into
        model = AsModule(lambda shown, own=model: own(shown.to(images.dtype)), images.device)  # type: ignore[misc]
    with torch.no_grad():
        classes = model(images[:1]).shape[1]
    where = "cpu" if images.device.type == "cpu" else "gpu"
    estimator = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), images.shape[1:], classes, clip_values=(0, 1), device_type=where
    )
    if "norm" in settings:
        settings["norm"] = {"Linf": inf, "L2": 2, "L1": 1}.get(settings["norm"], settings["norm"])
    found = make(estimator, **settings).generate(x=images.cpu().numpy(), y=labels.cpu().numpy())
    return torch.from_numpy(found).to(images)


@dataclass(frozen=True, eq=False)
class Package:
    """A package of attacks.

    Fields:
        module: where its attacks lie.
        install: what installs it.
        attacked: how they are called.
        filled_in: arguments that the call fills in, but for the model, which comes first.
        epsilons: what ε is called among an attack's arguments; ``None`` where it is told by the call.
        defaults: which here are others than its own.
    """

    module: str
    install: str
    attacked: Attacked
    filled_in: tuple[str, ...] = ()
    epsilons: tuple[str, ...] | None = ("eps", "epsilon")
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def factory(self, name: str) -> Any:
        """What makes the attack of a name such as ``foolbox:LinfPGD``, or ``foolbox.attacks:LinfPGD``.

        Raises:
            UserError: the package is not installed, or has no such attack (the nearest is offered).
        """
        given, _, attack = name.partition(":")
        if not find_spec(given.partition(".")[0]):
            raise UserError(f"attack {name!r} needs the package {self.install}; pip install {self.install}")
        module = given if "." in given else self.module
        try:
            return import_path(f"{module}:{attack}", "attack")
        except UntrustedCode:
            raise
        except UserError as error:
            if module not in sys.modules or hasattr(sys.modules[module], attack):
                raise
            known = [f"{given}:{one}" for one, value in vars(sys.modules[module]).items() if isclass(value)]
            raise UserError(unknown_name("attack", name, known)) from error


ANY = Package("", "", _torchattacks)
"""A factory that nothing more is known of: ``factory(model, eps=ε, …)(images, labels)``, as torchattacks has it."""

PACKAGES: Mapping[str, Package] = {
    "torchattacks": replace(ANY, module="torchattacks", install="torchattacks"),
    "torchattack": Package("torchattack", "torchattack", _torchattack, ("normalize", "device")),
    "foolbox": Package("foolbox.attacks", "foolbox", _foolbox, epsilons=None),
    # Progress is shown in one place, and its is not that. In some attacks "epsilon" is something else than ε.
    "art": Package(
        "art.attacks.evasion", "adversarial-robustness-toolbox", _art, epsilons=("eps",), defaults={"verbose": False}
    ),
}
"""By the name that comes before the colon."""


def package_of(name: str) -> Package | None:
    """Whose attack a name such as ``foolbox:LinfPGD`` is, if one of these."""
    return PACKAGES.get(name.partition(":")[0].partition(".")[0]) if isinstance(name, str) and ":" in name else None
