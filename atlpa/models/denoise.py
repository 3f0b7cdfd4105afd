"""Feature denoising (Xie et al. 2018): blocks between a network's stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atlpa.errors import UserError
from atlpa.model_state import LayerHook, eval_mode
from atlpa.models.features import Features, Layout
from atlpa.models.outputs import record_outputs

Denoising = Literal["softmax", "dot_product", "mean"]

ANY_SIDE = 64  # of an image that shows how wide the stages are, where the network takes images of any size


class DenoisingBlock(nn.Module):
    """x + BatchNorm(conv1×1(denoise(x))); γ starts at zero, so that a network is unchanged until it learns otherwise.

    Args:
        channels: C, of the feature map.
        operation: ``softmax``, the non-local mean with an embedded Gaussian; ``dot_product``, without the softmax and
            divided by H·W; or ``mean``, the local mean over 3×3.
    """

    def __init__(self, channels: int, operation: Denoising) -> None:
        super().__init__()
        self.operation = operation
        if operation != "mean":
            self.theta = nn.Conv2d(channels, channels // 2, 1, bias=False)
            self.phi = nn.Conv2d(channels, channels // 2, 1, bias=False)
            nn.init.normal_(self.theta.weight, std=0.01)
            nn.init.normal_(self.phi.weight, std=0.01)
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Feature maps ``(B, C, H, W)`` to feature maps of the same shape."""
        out: Tensor = features + self.norm(self.conv(self.denoise(features)))
        return out

    def denoise(self, features: Tensor) -> Tensor:
        """The weighted means of the features, ``(B, C, H, W)``, before the 1×1 convolution."""
        if self.operation == "mean":
            return F.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False)
        query, key, value = (_places(maps) for maps in (self.theta(features), self.phi(features), features))
        if self.operation == "softmax":
            # Fused attention keeps no (H·W)² matrix, but wants a dimension of heads, and values as wide as the keys:
            # two halves of C/2 channels each.
            left, right = value.chunk(2, dim=-1)
            halves = [
                F.scaled_dot_product_attention(query[:, None], key[:, None], half[:, None]).squeeze(1)
                for half in (left, right)
            ]
            mean = torch.cat(halves, dim=-1)
        else:
            mean = query @ (key.transpose(1, 2) @ value) / value.shape[1]  # likewise: no (H·W)² matrix
        return mean.transpose(1, 2).reshape_as(features)


def _places(maps: Tensor) -> Tensor:
    """``(B, C, H, W)`` to ``(B, H·W, C)``."""
    return maps.flatten(start_dim=2).transpose(1, 2).contiguous()


@dataclass(eq=False)
class _Denoised(LayerHook):
    """Puts a block behind a stage, whose own modules and names of parameters stay as they are."""

    block: DenoisingBlock
    layout: Layout

    def __call__(self, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return self.layout.from_map(self.block(self.layout.to_map(output)), output)


def add_denoising(
    backbone: nn.Module, features: Features, operation: Denoising | None, side: int | None
) -> nn.ModuleDict:
    """Put a denoising block behind each stage of a network.

    Args:
        backbone: the network, changed in place; its parameters and their names are not.
        features: its stages.
        operation: of the blocks; ``None`` for none.
        side: H and W of the images it takes; ``None`` if it takes any.

    Returns:
        Stage → block, for whoever owns the network to register.

    Raises:
        UserError: there is no stage, or one without a map.
    """
    blocks = nn.ModuleDict()
    if operation is None:
        return blocks
    if not features.layers:
        raise UserError("denoising blocks stand behind a network's stages, and it declares none; give model.stages")
    with torch.no_grad(), eval_mode(backbone), record_outputs(backbone, features.layers) as outputs:
        backbone(torch.zeros(1, 3, side or ANY_SIDE, side or ANY_SIDE))
    for name, output in outputs.items():
        if (layout := features.layout(output)) is None:
            raise UserError(f"denoising blocks need maps, and stage {name} gives {tuple(output.shape)}; drop it")
        blocks[name] = block = DenoisingBlock(layout.to_map(output).shape[1], operation)
        backbone.get_submodule(features.layers[name]).register_forward_hook(_Denoised(block, layout))
    return blocks
