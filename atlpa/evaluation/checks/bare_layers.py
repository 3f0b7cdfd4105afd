"""The model without what is done to its images before, and to its logits behind, the layers that have weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.evaluation.checks.differentiable import Differentiable
from atlpa.evaluation.checks.stand_ins import needs_gradient, with_gradient_of
from atlpa.model_state import eval_mode, random_layers

SCRIPTED = (torch.jit.ScriptModule, torch.jit.ScriptFunction)
COMPILED = ("_orig_mod", "_torchdynamo_orig_callable")
"""What ``torch.compile`` leaves on modules and functions; to ask for their class would load the compiler."""


class Bare(nn.Module):
    """The layers with weights, and what lies between: what is made of the images before and of the logits behind is
    passed by.

    Preprocessing are the modules without parameters and buffers that run before the first with any and change no
    shape: they do their work, and gradients pass them unchanged; a mean and a deviation that are buffers are left as
    they are. Layers that draw do nothing. The logits are what the last layer with weights gives, if these are as
    many; of several networks that vote or are mixed, the mean of what their last layers give.

    Args:
        model: the model under scrutiny.
        image: ``(1, 3, H, W)``, any.
    """

    def __init__(self, model: CheckedModel, image: Tensor) -> None:
        super().__init__()
        self.model = model
        self.before, self.heads = _ends(model.model, image)
        self.random = [layer for layer in random_layers(model) if layer not in self.before]

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` of images ``(B, 3, H, W)``."""
        found: list[Tensor] = []
        hooks: list[tuple[nn.Module, Callable[..., Tensor | None]]] = [
            *((layer, lambda _, inputs, output: with_gradient_of(output, inputs[0])) for layer in self.before),
            *((layer, lambda _, inputs, __: inputs[0]) for layer in self.random),
            *((layer, lambda _, __, output: found.append(output)) for layer in self.heads),
        ]
        with _hooked(hooks):
            logits: Tensor = self.model(images)
        return torch.stack(found).mean(dim=0) if found else logits

    @property
    def differs(self) -> bool:
        """Whether anything is passed by."""
        return bool(self.before or self.random or self.heads)


def _ends(model: object, image: Tensor) -> tuple[list[nn.Module], list[nn.Module]]:
    """The modules that an image passes before those that have weights; and the last of these, if more comes behind."""
    if not isinstance(model, nn.Module) or out_of_reach(model):
        return [], []
    before: list[nn.Module] = []
    weighty: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if next(module.parameters(), None) is not None or next(module.buffers(), None) is not None:
            weighty.append((module, output))
        elif not weighty and inputs and isinstance(output, Tensor) and inputs[0].shape == output.shape:
            before.append(module)

    leaves = [module for module in model.modules() if next(module.children(), None) is None]
    with _hooked([(leaf, note) for leaf in leaves]), torch.enable_grad(), eval_mode(model):
        logits = Differentiable(model)(image.clone().requires_grad_(True))
    as_many = [(module, it) for module, it in weighty if needs_gradient(it) and it.shape == logits.shape]
    heads = _last(as_many)
    behind = heads and not torch.allclose(torch.stack([output for _, output in heads]).mean(dim=0), logits)
    return before, [module for module, _ in heads] if behind else []


def _last(calls: list[tuple[nn.Module, Tensor]]) -> list[tuple[nn.Module, Tensor]]:
    """Of layers and what they gave, those that no other was made of; none, if it depends on the call."""
    outputs, inner = [output for _, output in calls], set()
    for position, output in enumerate(outputs[1:], 1):
        slopes = torch.autograd.grad(output.sum(), outputs[:position], retain_graph=True, allow_unused=True)
        inner |= {number for number, slope in enumerate(slopes) if slope is not None}
    last = [call for number, call in enumerate(calls) if number not in inner]
    within = [calls[number][0] for number in inner]
    return [] if any(module is other for module, _ in last for other in within) else last


def out_of_reach(model: object) -> list[str]:
    """The names of what is compiled or scripted, where no operation can be stood in for and no layer hooked."""
    parts = list(model.named_modules()) if isinstance(model, nn.Module) else [("", model)]
    sealed = [name for name, part in parts if isinstance(part, SCRIPTED) or any(hasattr(part, it) for it in COMPILED)]
    return [name for name in sealed if not any(name != other and _inside(name, other) for other in sealed)]


def _inside(name: str, other: str) -> bool:
    return not other or name.startswith(f"{other}.")


@contextmanager
def _hooked(hooks: Sequence[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    handles = [layer.register_forward_hook(hook) for layer, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
