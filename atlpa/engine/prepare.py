"""What an attack computes its gradients on: the model as it is, or the fastest copy that can be made of it."""

from __future__ import annotations

import logging
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from atlpa.engine.choice import worth_a_copy
from atlpa.engine.fallback import warn_once
from atlpa.engine.frozen import Frozen
from atlpa.engine.precision import Precision, at_least_float32, precision_note, supported_precision
from atlpa.engine.tracing import has_foreign_hooks
from atlpa.errors import reason
from atlpa.model_state import Logits, eval_mode, with_generators

Engine = Literal["auto", "reference"]

logger = logging.getLogger("atlpa.engine")

_reasons: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
"""Why a copy of a model would not do, found on first meeting it; empty if it does."""


def prepare(model: Logits, images: Tensor, engine: Engine, precision: Precision, passes: int = 1) -> Logits:
    """What gives the same logits as ``model`` in evaluation mode, and input gradients sooner.

    Args:
        model: any module or callable: images → logits. Weights that change later are not noticed.
        images: ``(B, 3, H, W)``, some that will be attacked; a model met for the first time is compared with its copy
            on two of them.
        engine: ``reference`` takes the model as it is; ``auto`` a frozen copy where one can be made that agrees, and
            where there is enough to do for it.
        precision: ``bf16`` computes convolutions and matrix products in bfloat16, on devices that have instructions
            for it; elsewhere it is ``fp32``, and the logger says so once.
        passes: how many gradients of a batch are about to be taken, which decides how much preparation pays.

    Returns:
        A callable that may be handed to ``prepare`` again.
    """
    if isinstance(model, Frozen | Autocast):
        return model
    if note := precision_note(precision, images.device):
        warn_once("bf16", note)
        precision = supported_precision(precision, images.device)
    if engine == "auto" and isinstance(model, nn.Module) and worth_a_copy(images.shape, passes):
        with torch.inference_mode(False):
            try:
                if not (obstacle := _why_not(model, images.clone())):
                    return Frozen(model, torch.bfloat16 if precision == "bf16" else torch.float32, passes)
            except Exception as error:  # torch.fx documents no class of its own, and a model may raise anything
                obstacle = f"it cannot be copied ({reason(error)})"
        logger.debug("%s runs as it is: %s", type(model).__name__, obstacle)
    return Autocast(model) if precision == "bf16" else model


class Autocast(nn.Module):
    """A model whose convolutions and matrix products run in bfloat16, with logits in float32.

    It is a module, so that whoever sets modes or generators of its layers reaches the model's.
    """

    def __init__(self, model: Logits) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` to logits ``(B, C)``."""
        with torch.autocast(images.device.type, torch.bfloat16):
            return at_least_float32(self.model(images))


def _why_not(model: nn.Module, images: Tensor) -> str:
    """The reason to run a model as it is, if there is one."""
    if has_foreign_hooks(model):
        return "it has forward hooks, which a copy would not call"
    if torch.is_autocast_enabled(images.device.type):
        return "the caller's autocast is on"
    if any(parameter.dtype != torch.float32 for parameter in model.parameters()):
        return "not all of its parameters are float32"
    if model not in _reasons:
        _reasons[model] = _difference(model, images[:2])
    return _reasons[model]


def _difference(model: nn.Module, images: Tensor) -> str:
    """What keeps a copy from standing for a model: tracing sees one path through Python, and no block of no_grad."""
    with torch.random.fork_rng(devices=[]):
        frozen = Frozen(model)
    if not frozen.fused:
        return "it has no convolution to fuse"
    (logits, gradient), (found_logits, found_gradient) = (_answer(network, images) for network in (model, frozen))
    if not (found_logits - logits).abs().max() <= 1e-3 * logits.abs().max():
        return "the logits of a copy differ"
    if not (found_gradient - gradient).norm() <= 0.1 * gradient.norm():
        return "the input gradients of a copy differ"
    return ""


def _answer(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and the input gradient of the first class's, with the same draws every time."""
    held = with_generators(network, torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), eval_mode(network), held:
        torch.default_generator.manual_seed(0)
        point = images.clone().requires_grad_(True)
        logits: Tensor = network(point)
        (gradient,) = torch.autograd.grad(logits[:, 0].sum(), point)
    return logits.detach(), gradient
