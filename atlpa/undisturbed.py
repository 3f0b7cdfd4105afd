"""How an attack leaves the model exactly as it found it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

Logits = Callable[[Tensor], Tensor]
"""What an attack needs of a model: images ``(B, 3, H, W)`` in [0, 1] to logits ``(B, C)``."""


@contextmanager
def undisturbed(model: Logits) -> Iterator[None]:
    """Put a model into evaluation mode without parameter gradients, and every module and parameter back afterwards.

    BatchNorm thus neither sees the attack's images as a batch nor learns from them, and no gradient reaches ``.grad``.
    Modes are restored module by module, since a user may have frozen some of them. A callable that is no module is
    left to its owner.
    """
    if not isinstance(model, nn.Module):
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for module, _ in modes:
            module.training = False
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in flags:
            parameter.requires_grad_(requires_grad)
