"""Networks with the values of the model under scrutiny and a gradient that gets past what hides the model's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from atlpa.evaluation.checks.stand_ins import STAND_INS, needs_gradient, of_soft_forms
from atlpa.model_state import RandomLayer
from atlpa.randomness import Generators, uniform


class _StandIns(TorchFunctionMode):
    """While it is active, operations have their stand-ins' gradients, and nothing is cut out of the graph."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if name == "_set_grad_enabled":
            return None
        if "input" in kwargs:
            args = (kwargs.pop("input"), *args)
        tensors = [value for value in args if isinstance(value, Tensor)]
        if func == torch.Tensor.data.__get__:  # type: ignore[attr-defined]
            return tensors[0]
        if not any(needs_gradient(value) for value in tensors):
            soft = any(hasattr(value, "soft") for value in tensors)
            return of_soft_forms(func, args, kwargs) if soft else func(*args, **kwargs)
        if rule := STAND_INS.get(name):
            return rule(func, *args, **kwargs)
        in_place = name[:-1] if name.endswith("_") and not name.endswith("__") else ""
        if rule := STAND_INS.get(in_place):
            whole = getattr(torch, in_place, None) or getattr(F, in_place)
            return args[0].copy_(rule(whole, args[0].clone(), *args[1:], **kwargs))
        return func(*args, **kwargs)


class Differentiable(nn.Module):
    """The model with stand-ins' gradients (BPDA, Athalye et al. 2018): its logits are the model's own.

    Rounding, signs, clamps, masks and thresholds have the gradient of something that rises; saturated softmaxes that of
    one that is not; detached parts are attached again. It is done while the model runs, call by call of torch, so that
    it takes no tracing. Beyond its reach are compiled and scripted code, what leaves torch (numpy, files), and random
    indexing.

    Args:
        model: the model under scrutiny.
        straight: whether gradients also pass unchanged through the model's own autograd functions, wherever what comes
            out has the shape of what goes in; otherwise their backward passes are believed.
    """

    def __init__(self, model: nn.Module, *, straight: bool = False) -> None:
        super().__init__()
        self.model, self.straight = model, straight

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` of images ``(B, 3, H, W)``, those of the model bit for bit."""
        with _StandIns():
            logits: Tensor = self.model(images)
        if self.straight:
            for node in own_functions(logits):
                node.register_hook(_straight)
        return logits


def own_functions(logits: Tensor) -> list[Any]:
    """The nodes of the graph that are autograd functions written in Python, stand-ins aside."""
    found: list[Any] = []
    seen: set[Any] = set()
    waiting: list[Any] = [logits.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, BackwardCFunction) and not type(node).__module__.startswith("atlpa.evaluation"):
            found.append(node)
        waiting += [following for following, _ in node.next_functions]
    return found


def _straight(gradients: Sequence[Tensor | None], arriving: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    whole = arriving[0]
    fits = [g is not None and whole is not None and g.shape == whole.shape for g in gradients]
    return tuple(whole if fit else gradient for gradient, fit in zip(gradients, fits, strict=True))


class Neighbors(nn.Module):
    """A network at a random point near each image: gradients that are averaged over draws see past ruggedness.

    Args:
        model: any network.
        radius: of the cube in which the point lies, in pixels; points beyond [0, 1] are moved to its border.
    """

    def __init__(self, model: nn.Module, radius: float) -> None:
        super().__init__()
        self.model = model
        self.near = RandomLayer(
            lambda images, generators: images + self._way(images.detach(), radius, generators), in_training=True
        )

    @staticmethod
    def _way(images: Tensor, radius: float, generators: Generators) -> Tensor:
        """From each image to its neighbor: a constant, since a clamp has no gradient for pixels at its border."""
        return (images + uniform(images, radius, generators)).clamp(0, 1) - images

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` near images ``(B, 3, H, W)``."""
        logits: Tensor = self.model(self.near(images))
        return logits
