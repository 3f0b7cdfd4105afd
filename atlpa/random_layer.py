"""Layers that draw: how a randomized network gets its numbers from whoever calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from atlpa.randomness import Generators

Draw = Callable[[Tensor, Generators], Tensor]
"""A random change of a batch ``(B, C, H, W)``; all of its randomness comes from the generators."""


class RandomLayer(nn.Module):
    """Applies a random change; ``drawing`` says where its numbers come from, torch's global generator otherwise.

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
def drawing(model: object, generators: Generators) -> Iterator[None]:
    """Let a model's random layers draw from given generators, and from those they had before afterwards.

    ``None`` leaves them what they have. With one generator an image, what an image meets does not depend on its batch.
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
