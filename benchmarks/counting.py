"""How many images went forwards and backwards, and how many operations that takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode


class Passes(TorchDispatchMode):
    """Counts the images that pass the first convolution, whatever library calls it and however it is carried out.

    Forwards it is the one convolution that reads three channels; backwards the one operation that gives as many, or
    four times as many where the four phases of a stride of 2 are computed side by side.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forwards = self.backwards = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        del types
        result = function(*arguments, **(options or {}))
        name = function.name()
        if name == "aten::convolution_backward":
            first = result[0]
            self.backwards += len(first) if isinstance(first, Tensor) and first.shape[1] == 3 else 0
        elif name in ("aten::convolution", "mkldnn::_convolution_pointwise"):
            self.forwards += len(result) if arguments[0].shape[1] == 3 else 0
            self.backwards += len(result) if result.shape[1] in (3, 12) else 0
        return result


def operations(model: nn.Module, images: Tensor) -> int:
    """Multiplications and additions of one forward pass of one image; the input gradient takes as many again."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images[:1])
    return int(counter.get_total_flops())
