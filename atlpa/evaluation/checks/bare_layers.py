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
        images: ``(N, 3, H, W)``, a few.
        equal: whether what each gives is taken over its spread, so that the largest does not speak for all, as it does
            not in a vote.
    """

    def __init__(self, model: CheckedModel, images: Tensor, *, equal: bool = False) -> None:
        super().__init__()
        self.model, self.equal = model, equal
        self.before, self.heads = _ends(model.model, images)
        self.random = [layer for layer in random_layers(model) if layer not in self.before]

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` of images ``(B, 3, H, W)``."""
        found: dict[nn.Module, list[Tensor]] = {}

        def keep(layer: nn.Module, _: object, output: Tensor) -> Tensor:
            found.setdefault(layer, []).append(output)
            return output.clone()  # the model may go on in place

        hooks: list[tuple[nn.Module, Callable[..., Tensor | None]]] = [
            *((layer, lambda _, inputs, output: with_gradient_of(output, inputs[0])) for layer in self.before),
            *((layer, lambda _, inputs, __: inputs[0]) for layer in self.random),
            *((layer, keep) for layer in self.heads),
        ]
        with _hooked(hooks):
            logits: Tensor = self.model(images)
        members = [_whole(calls, len(images)) for calls in found.values()]
        if self.equal:
            members = [member / member.detach().std().clamp(min=1e-6) for member in members]
        return torch.stack(members).mean(dim=0) if members else logits

    @property
    def differs(self) -> bool:
        """Whether anything is passed by."""
        return bool(self.before or self.random or self.heads)


def _whole(calls: Sequence[Tensor], count: int) -> Tensor:
    """What a layer gave for a batch: in parts that follow one another, or several times, of which the mean is taken."""
    return torch.cat(list(calls)) if sum(map(len, calls)) == count else torch.stack(list(calls)).mean(dim=0)


def _ends(model: object, images: Tensor) -> tuple[list[nn.Module], list[nn.Module]]:
    """The modules that images pass before those that have weights; and the last of these, if more comes behind."""
    if not isinstance(model, nn.Module) or out_of_reach(model):
        return [], []
    before: list[nn.Module] = []
    weighty: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        if next(module.parameters(), None) is not None or next(module.buffers(), None) is not None:
            weighty.append((module, output))
            return output.clone() if isinstance(output, Tensor) else None  # the model may go on in place
        pixels = all(isinstance(value, Tensor) and value.is_floating_point() for value in (*inputs[:1], output))
        if not weighty and inputs and pixels and inputs[0].shape == output.shape:
            before.append(module)
        return None

    leaves = [module for module in model.modules() if _is_leaf(module)]
    with _hooked([(leaf, note) for leaf in leaves]), torch.enable_grad(), eval_mode(model):
        logits = Differentiable(model)(images.clone().requires_grad_(True))
    once = [layer for layer in before if before.count(layer) == 1]
    as_many = [(module, it) for module, it in weighty if needs_gradient(it) and it.shape[1:] == logits.shape[1:]]
    calls: dict[nn.Module, list[Tensor]] = {}
    for module, output in _leading_to(logits, _last(as_many)):
        calls.setdefault(module, []).append(output)
    fit = [sum(map(len, own)) == len(images) or all(len(it) == len(images) for it in own) for own in calls.values()]
    if not calls or not all(fit):
        return once, []
    wholes = [_whole(own, len(images)) for own in calls.values()]
    return once, [] if torch.allclose(torch.stack(wholes).mean(dim=0), logits) else list(calls)


def _leading_to(logits: Tensor, calls: list[tuple[nn.Module, Tensor]]) -> list[tuple[nn.Module, Tensor]]:
    """Those that the logits are made of, as far as a gradient shows it; where it shows nothing, all."""
    if not calls or not logits.requires_grad:
        return calls
    slopes = torch.autograd.grad(logits.sum(), [output for _, output in calls], retain_graph=True, allow_unused=True)
    used = [call for call, slope in zip(calls, slopes, strict=True) if slope is not None]
    return used or calls


def _is_leaf(module: nn.Module) -> bool:
    """Whether it has no layers inside; what makes its weights from others (weight normalization, say) is none."""
    return all(name == "parametrizations" for name, _ in module.named_children())


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
