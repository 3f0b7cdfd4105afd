"""How a network's code is followed with torch.fx."""

from __future__ import annotations

import inspect

from torch import fx, nn

from atlpa.model_state import LayerHook, RandomLayer, eval_mode


def trace(model: nn.Module) -> fx.Graph:
    """The graph of a model in evaluation mode, from images to logits; layers that draw are nodes.

    Tracing sees one path through Python, so that what follows the graph must be compared with the model.

    Raises:
        Exception: whatever torch.fx raises on code that it cannot follow.
    """
    with eval_mode(model):
        return _Tracer().trace(model, concrete_args=_defaults(model))


def has_foreign_hooks(model: nn.Module) -> bool:
    """Whether a model has hooks that do not belong to it as its layers do, which a graph may miss."""
    return any(
        module._forward_pre_hooks or not all(isinstance(hook, LayerHook) for hook in module._forward_hooks.values())
        for module in model.modules()
    )


def _defaults(model: nn.Module) -> dict[str, object]:
    """Further arguments of a model's forward, which nobody here gives: tracing cannot leave them open."""
    parameters = inspect.signature(model.forward).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        hooked = bool(module._forward_hooks)  # a leaf's hooks would be left out
        return isinstance(module, RandomLayer) or (super().is_leaf_module(module, name) and not hooked)
