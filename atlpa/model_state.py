"""How a model is left as it was found, and where its random layers get their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from atlpa.randomness import Generators

Logits = Callable[[Tensor], Tensor]
"""What an attack needs of a model: images ``(B, 3, H, W)`` in [0, 1] to logits ``(B, C)``."""


@contextmanager
def eval_mode(model: Logits) -> Iterator[None]:
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


Draw = Callable[[Tensor, Generators], Tensor]
"""A random change of a batch ``(B, C, H, W)``; all of its randomness comes from the generators."""


class RandomLayer(nn.Module):
    """Applies a random change; its numbers come from ``with_generators``, or from torch's global generator.

    Args:
        draw: the change.
        in_training: whether it is made in training mode too, or in evaluation mode alone.
    """

    def __init__(self, draw: Draw, *, in_training: bool) -> None:
        super().__init__()
        self.draw, self.in_training = draw, in_training
        self.generators: Generators = None

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)``, changed."""
        return self.draw(images, self.generators) if self.in_training or not self.training else images


def random_layers(model: object) -> list[RandomLayer]:
    """Every random layer of a model; none of a callable that is no module."""
    return (
        [layer for layer in model.modules() if isinstance(layer, RandomLayer)] if isinstance(model, nn.Module) else []
    )


@contextmanager
def with_generators(model: object, generators: Generators) -> Iterator[None]:
    """Let a model's random layers draw from given generators, and from those they had before afterwards.

    ``None`` leaves them what they have. With one generator per image, what an image meets does not depend on its batch.
    """
    layers = [] if generators is None else random_layers(model)
    before = [layer.generators for layer in layers]
    try:
        for layer in layers:
            layer.generators = generators
        yield
    finally:
        for layer, previous in zip(layers, before, strict=True):
            layer.generators = previous


class LayerHook:
    """A forward hook that belongs to a network as its layers do; what copies the network must follow it.

    A subclass is called with the module, its inputs and its output, and gives the output in its place. The modules it
    calls are registered in the network.
    """
