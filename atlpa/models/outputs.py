"""Outputs of layers, taken with forward hooks that never outlive their ``with``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import Tensor, nn


@contextmanager
def record_outputs(
    model: nn.Module, layers: Mapping[str, str], shown: Callable[[Tensor], Tensor] = lambda output: output
) -> Iterator[dict[str, Tensor]]:
    """Record what layers give during the forward passes inside the ``with``.

    Args:
        model: any module.
        layers: names to record under → paths as in ``model.named_modules()``.
        shown: how an output is recorded.

    Yields:
        A dictionary filled by each forward pass, in the order in which the layers are reached.

    Raises:
        ValueError: a path that leads to no layer; a layer that gives no tensor.
    """
    modules = dict(model.named_modules())
    if missing := [path for path in layers.values() if path not in modules]:
        raise ValueError(f"no layer {', '.join(missing)} in this {type(model).__name__}; pass layers={{name: path}}")
    outputs: dict[str, Tensor] = {}

    def keep(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
        if not isinstance(output, Tensor):
            raise ValueError(f"the layer of stage {name} gives a {type(output).__name__}; name one that gives a tensor")
        outputs[name] = shown(output)

    with ExitStack() as hooks:
        for name, path in layers.items():
            hooks.callback(modules[path].register_forward_hook(partial(keep, name)).remove)
        yield outputs
