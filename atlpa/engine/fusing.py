"""Rewriting a network's graph: what oneDNN computes in one go becomes one node."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping

import torch
from torch import fx, nn
from torch.nn import functional as F

from atlpa.engine.convolution import NORMS, Convolution, Norm

Modules = dict[str, nn.Module]
Parts = Mapping[str, Convolution]

ADDITIONS = (torch.add, operator.add, operator.iadd, "add", "add_")
RELUS = (torch.relu, torch.relu_, F.relu, F.relu_, "relu", "relu_")


def fuse(graph: fx.Graph, modules: Modules, passes: int) -> dict[str, Convolution]:
    """Replace every convolution and what follows it by one node; gives the parts that these nodes call, by name.

    Args:
        graph: of a network in evaluation mode; changed.
        modules: the network's, by name.
        passes: how often a batch is about to pass with the same weights.
    """
    fused = dict(_fused(graph, modules, passes))
    for node in list(graph.nodes):
        _share(graph, node, fused)
    for node in graph.nodes:
        if part := _part(node, fused):
            output = next(iter(node.users)) if part.shares else node
            part.owns = all(_part(reader, fused) for reader in output.users)
    return fused


def _fused(graph: fx.Graph, modules: Modules, passes: int) -> Iterator[tuple[str, Convolution]]:
    for node in list(graph.nodes):
        convolution = _module(node, modules)
        if type(convolution) is not nn.Conv2d or convolution.padding_mode != "zeros" or len(node.args) != 1:
            continue
        chain, norm, inputs = [node], None, list(node.args)
        found = _module(_only_user(chain), modules)
        if isinstance(found, Norm) and type(found) in NORMS and found.track_running_stats:
            norm = found
            chain.append(_only_user(chain))
        joined = _only_user(chain)
        # A sum without a ReLU behind it stays: nothing is gained, and another part may read what it adds up in.
        if (residual := _residual(joined, chain[-1])) and _is_relu(_only_user([joined]), modules):
            inputs.append(residual)
            chain.append(joined)
        if relu := _is_relu(_only_user(chain), modules):
            chain.append(_only_user(chain))
        name = f"fused_{node.name}"
        with graph.inserting_after(chain[-1]):
            chain[-1].replace_all_uses_with(graph.call_module(name, tuple(inputs)))
        for replaced in reversed(chain):
            graph.erase_node(replaced)
        yield name, Convolution(convolution, norm, relu, passes)


def _share(graph: fx.Graph, node: fx.Node, fused: Parts) -> None:
    """Where two convolutions read the same, let the first hand it on to the second: gradients then add up in it."""
    if len(node.users) != 2 or not all(_part(reader, fused) for reader in node.users):
        return
    first, second = (reader for reader in graph.nodes if reader in node.users)
    if second.args == (node,) and (part := _part(second, fused)) and max(part.originals[0].stride) > 1:
        # The gradient of one with a stride is sparse, so that it is the one to be added.
        first.prepend(second)
        first, second = second, first
    if (part := _part(first, fused)) and first.args[0] is node and node not in first.args[1:]:
        part.shares = True
        with graph.inserting_after(first):
            output, same = (graph.call_function(operator.getitem, (first, place)) for place in (0, 1))
        first.replace_all_uses_with(output, delete_user_cb=lambda user: user not in (output, same))
        second.replace_input_with(node, same)


def _part(node: fx.Node, fused: Parts) -> Convolution | None:
    return fused.get(str(node.target)) if node.op == "call_module" else None


def _only_user(chain: list[fx.Node | None]) -> fx.Node | None:
    """What alone reads the end of a chain, if it is read once."""
    users = [] if chain[-1] is None else list(chain[-1].users)
    return users[0] if len(users) == 1 else None


def _module(node: fx.Node | None, modules: Modules) -> nn.Module | None:
    return modules.get(str(node.target)) if node is not None and node.op == "call_module" else None


def _is_relu(node: fx.Node | None, modules: Modules) -> bool:
    return node is not None and (type(_module(node, modules)) is nn.ReLU or node.target in RELUS)


def _residual(joined: fx.Node | None, last: fx.Node) -> fx.Node | None:
    """What is added to the last node, where it is a sum of two nodes and in-place only into the last one."""
    if joined is None or joined.target not in ADDITIONS or joined.kwargs or len(joined.args) != 2:
        return None
    first, second = joined.args
    if first is last and isinstance(second, fx.Node) and second is not last:
        return second
    commutes = joined.target in (torch.add, operator.add, "add")
    return first if commutes and second is last and isinstance(first, fx.Node) else None
