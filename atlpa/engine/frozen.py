"""A copy of a network in evaluation mode, made for logits and input gradients and nothing else."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn

from atlpa.engine.fallback import warn_once
from atlpa.engine.fusing import fuse
from atlpa.engine.tracing import trace
from atlpa.errors import reason
from atlpa.model_state import RandomLayer, eval_mode


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
        graph = trace(model)
        modules = dict(model.named_modules())
        fused = fuse(graph, modules, passes)
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
        self.model, self.gave_up = (model,), False  # in a tuple, so that it is no submodule
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
        """Images ``(B, 3, H, W)`` to logits ``(B, C)``, both in float32; the model gives them if the copy raises."""
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, self.dtype, enabled=self.dtype != torch.float32):
            if not self.gave_up:
                try:
                    logits: Tensor = self.network(images)
                    return logits.float()
                except Exception as error:  # of the graph's own code, which may raise anything
                    warn_once(f"the copy of a {type(self.model[0]).__name__}", reason(error))
                    self.gave_up = True
            with eval_mode(self.model[0]):
                logits = self.model[0](images)
        return logits.float()
