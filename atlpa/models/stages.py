"""Outputs of a network's stages, taken with forward hooks that never outlive their ``with``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import Tensor, nn

from atlpa.models.classifier import STAGES, Classifier


@contextmanager
def record_stages(model: nn.Module, layers: Mapping[str, str] | None = None) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of layers during the forward passes inside the ``with``.

    ::

        with record_stages(model) as stages:
            logits = model(images)
        stages["conv5_x"]  # (B, C, H, W), part of the graph of ``logits``

    Args:
        model: a ``Classifier``, a torchvision ResNet, or any module if ``layers`` is given.
        layers: names to record under → submodule paths as in ``model.named_modules()``; by default the four stages
            conv2_x … conv5_x of a ResNet.

    Yields:
        A dictionary filled by each forward pass; a later pass replaces the earlier one's outputs, so attack before
        the ``with`` or after it.
    """
    if layers is None:
        layers = model.stage_layers if isinstance(model, Classifier) else STAGES
    modules = dict(model.named_modules())
    if missing := [path for path in layers.values() if path not in modules]:
        raise ValueError(f"no layer {', '.join(missing)} in this {type(model).__name__}; pass layers={{name: path}}")

    stages: dict[str, Tensor] = {}

    def keep(name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        stages[name] = output

    with ExitStack() as hooks:
        for name, path in layers.items():
            hooks.callback(modules[path].register_forward_hook(partial(keep, name)).remove)
        yield stages
