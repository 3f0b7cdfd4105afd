"""A copy of a network in evaluation mode, made for logits and input gradients and nothing else."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Iterator

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from atlpa.engine.convolution import Convolution
from atlpa.random_layer import RandomLayer
from atlpa.undisturbed import undisturbed

Modules = dict[str, nn.Module]

ADDITIONS = (torch.add, operator.add, operator.iadd, "add", "add_")
RELUS = (torch.relu, torch.relu_, F.relu, F.relu_, "relu", "relu_")


class Frozen(nn.Module):
    """Each convolution, its BatchNorm, the residual added to it and its ReLU become one; no weight has a gradient.

    Layers that draw are the model's own, so that whoever sets their generators reaches them here too. Everything else
    is a copy, which ``refresh`` brings up to date.

    Args:
        model: the network, with float32 parameters; not changed.
        dtype: of convolutions, and with bfloat16 of what autocast finds fit for it. Images come and logits go in
            float32, and a normalization before the first convolution is computed in it.
        passes: how many forwards and backwards a batch is about to make, which decides how much preparation pays.

    Raises:
        Exception: whatever torch.fx raises on code that it cannot follow.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype = torch.float32, passes: int = 1) -> None:
        super().__init__()
        self.dtype = dtype
        with undisturbed(model):
            graph = _Tracer().trace(model, concrete_args=_defaults(model))
        modules = dict(model.named_modules())
        fused = dict(_fuse(graph, modules, passes))
        self.fused = tuple(fused.values())
        self.copied: list[tuple[Tensor, Tensor]] = []
        parts: dict[str, nn.Module | Tensor] = {**fused}
        for node in graph.nodes:
            name = str(node.target)
            if node.op == "call_module" and name not in parts:
                parts[name] = self._twin(modules[name])
            elif node.op == "get_attr":
                owner, _, attribute = name.rpartition(".")
                original = getattr(modules[owner], attribute)
                twin = parts[name] = original.detach().clone()
                self.copied.append((original, twin))
        self.network = fx.GraphModule(parts, graph)
        self.network.graph.owning_module = None  # a cycle, in which all weights would wait for the garbage collector
        self.refresh()

    def _twin(self, module: nn.Module) -> nn.Module:
        if isinstance(module, RandomLayer):
            return module
        twin = copy.deepcopy(module).eval().requires_grad_(False)
        tensors = ((*part.parameters(), *part.buffers()) for part in (module, twin))
        self.copied.extend(zip(*tensors, strict=True))
        return twin

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the model's present weights."""
        for part in self.fused:
            part.fold(self.dtype)
        for original, twin in self.copied:
            twin.copy_(original)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` to logits ``(B, C)``, both in float32."""
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits: Tensor = self.network(images)
        return logits.float()


def _defaults(model: nn.Module) -> dict[str, object]:
    """Further arguments of a model's forward, which an attack never gives: tracing cannot leave them open."""
    parameters = inspect.signature(model.forward).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, RandomLayer) or super().is_leaf_module(module, name)


def _fuse(graph: fx.Graph, modules: Modules, passes: int) -> Iterator[tuple[str, Convolution]]:
    """Replace every convolution and what follows it by one node; gives the parts that these nodes call, by name."""
    for node in list(graph.nodes):
        convolution = _module(node, modules)
        if type(convolution) is not nn.Conv2d or convolution.padding_mode != "zeros" or len(node.args) != 1:
            continue
        chain, norm, inputs = [node], None, list(node.args)
        if type(found := _module(_only_user(chain), modules)) is nn.BatchNorm2d and found.track_running_stats:
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
