"""A network's graph, node by node, over a box of images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import fx, nn

from atlpa.bounds.propagation import Propagation, Value
from atlpa.bounds.rules import FUNCTIONS, METHODS, MODULES, Made, NoBound
from atlpa.engine.tracing import has_foreign_hooks, trace
from atlpa.errors import reason

QUERIES = ("size", "dim", "numel")
ATTRIBUTES = ("shape", "ndim", "dtype", "device")
"""Methods and attributes that do not depend on a tensor's numbers."""


def graph_of(model: nn.Module) -> fx.Graph:
    """The graph of a model in evaluation mode.

    Raises:
        NoBound: its code cannot be followed.
    """
    if not isinstance(model, nn.Module):
        raise NoBound(f"bounds follow the layers of a torch.nn.Module, given a {type(model).__name__}")
    if has_foreign_hooks(model):
        raise NoBound("it has hooks, which bounds do not follow; remove them")
    try:
        return trace(model)
    except Exception as error:  # torch.fx documents no class of its own, and a model may raise anything
        raise NoBound(f"its code cannot be followed by torch.fx ({reason(error)})") from error


def propagate(model: nn.Module, graph: fx.Graph, flow: Propagation) -> Value:
    """Carry the images' box through a network in evaluation mode, whatever mode it is in; gives its logits.

    Args:
        model: the network; not changed.
        graph: its graph.
        flow: where the values go.

    Raises:
        NoBound: some operation has none; it and its module are named.
    """
    modules = dict(model.named_modules())
    found: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        arguments = fx.node.map_arg(node.args, found.__getitem__)
        options = fx.node.map_arg(node.kwargs, found.__getitem__)
        try:
            value = _value_of(node, arguments, options, modules, flow)
        except NoBound as error:
            raise NoBound(f"no bound is known of {_described(node, modules)}: {error}") from error
        found[node] = value
        if isinstance(value, Value) and _in_place(node, modules):
            found[node.args[0]] = value  # whoever reads the input later meets what was written over it
        if node.op == "output":
            if not isinstance(value, Value) or value.box.lower.ndim != 2:
                raise NoBound("it gives no logits (B, C), or ones that do not depend on the images")
            return value
    raise NoBound("it gives nothing")


def _value_of(node: fx.Node, arguments: Any, options: Any, modules: dict[str, nn.Module], flow: Propagation) -> Any:
    """What a node gives: a value with its box, or whatever does not depend on the images."""
    if node.op == "placeholder":
        return arguments[0] if arguments else flow.values[0]
    if node.op == "output":
        return arguments[0]
    if node.op == "get_attr":
        owner, _, name = str(node.target).rpartition(".")
        return getattr(modules[owner], name)
    called, rule = _called(node, modules)
    if not (_holds_value(arguments) or _holds_value(options)):
        return called(*arguments, **options)
    asks = node.op == "call_method" and node.target in QUERIES
    if asks or (node.target is getattr and arguments[1] in ATTRIBUTES):
        return called(arguments[0].box.lower, *arguments[1:], **options)
    if rule is None:
        raise NoBound("none in atlpa.bounds.rules")
    try:
        made = rule(*arguments, **options)
    except TypeError as error:  # an option that the rule does not have
        raise NoBound(reason(error)) from error
    return made if isinstance(made, Value) else flow.apply(made[0], *made[1])


def _called(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[Callable[..., Any], Callable[..., Made] | None]:
    """What a node calls, and its rule if there is one."""
    if node.op == "call_module":
        layer = modules[str(node.target)]
        of_layer = MODULES.get(type(layer))
        return layer, of_layer and partial(of_layer, layer)
    if node.op == "call_method":
        name = str(node.target)
        return lambda this, *arguments, **options: getattr(this, name)(*arguments, **options), METHODS.get(name)
    function: Any = node.target
    return function, FUNCTIONS.get(function)


def _holds_value(arguments: Any) -> bool:
    """Whether something that depends on the images is among arguments, at any depth."""
    if isinstance(arguments, dict):
        return any(map(_holds_value, arguments.values()))
    if isinstance(arguments, list | tuple):
        return any(map(_holds_value, arguments))
    return isinstance(arguments, Value)


def _in_place(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node writes its result over its input."""
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    written = name.endswith("_") or name in ("iadd", "isub", "imul", "itruediv")
    return node.op.startswith("call") and (written or bool(node.kwargs.get("inplace")))


def _described(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """An operation and the module that it is in, for a message."""
    if node.op == "call_module":
        return f"{type(modules[str(node.target)]).__name__} ({node.target})"
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    around = list((node.meta.get("nn_module_stack") or {"": ("the network", None)}).values())[-1][0]
    return f"{name} (in {around})"
