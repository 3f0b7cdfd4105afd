"""A network's features: which layers its stages are, and how their outputs become maps ``(B, C, H, W)``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from atlpa.errors import UserError, unknown_name

RESNET_STAGES: dict[str, str] = {"conv2_x": "layer1", "conv3_x": "layer2", "conv4_x": "layer3", "conv5_x": "layer4"}
"""The paper's names of a ResNet's four stages, and the layers that torchvision and timm call so."""

TRUNKS = {
    "AlexNet": "features",
    "ConvNeXt": "features",
    "DenseNet": "features",
    "EfficientNet": "features",
    "MNASNet": "layers",
    "MaxVit": "blocks",
    "MobileNetV2": "features",
    "MobileNetV3": "features",
    "RegNet": "trunk_output",
    "SqueezeNet": "features",
    "SwinTransformer": "features",
    "VGG": "features",
}
"""torchvision's families whose layers stand in a row: class → that row; a stage ends before each layer that halves."""

STAGES = {
    "GoogLeNet": ("conv3", "inception3b", "inception4e", "inception5b"),
    "Inception3": ("Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"),
    "ShuffleNetV2": ("maxpool", "stage2", "stage3", "conv5"),
}
"""torchvision's families whose layers do not stand in one row: class → its stages."""

FEW = 4  # stages of a network whose own description lists more, as the paper's ResNets have


@dataclass(frozen=True)
class Layout:
    """How a layer lays out what it gives.

    Fields:
        kind: ``map``, ``(B, C, H, W)``; ``channels_last``, ``(B, H, W, C)``; or ``tokens``, ``(B, N, C)``, row by row.
        prefix: tokens before those of the grid, such as the class token.
        side: of the grid of tokens, which is square as this package's images are.
    """

    kind: Literal["map", "channels_last", "tokens"] = "map"
    prefix: int = 0
    side: int = 0

    def to_map(self, output: Tensor) -> Tensor:
        """A layer's output as ``(B, C, H, W)``."""
        if self.kind == "channels_last":
            return output.permute(0, 3, 1, 2)
        if self.kind == "tokens":
            return output[:, self.prefix :].transpose(1, 2).reshape(output.shape[0], -1, self.side, self.side)
        return output

    def from_map(self, maps: Tensor, output: Tensor) -> Tensor:
        """``output`` with other values on its map; prefix tokens stay."""
        if self.kind == "channels_last":
            return maps.permute(0, 2, 3, 1)
        if self.kind == "tokens":
            return torch.cat([output[:, : self.prefix], maps.flatten(start_dim=2).transpose(1, 2)], dim=1)
        return maps


@dataclass(frozen=True)
class Features:
    """What a network shows of itself.

    Fields:
        layers: stage → path of the layer whose output it is, as in ``backbone.named_modules()``, from first to last.
        channels_last: whether four-dimensional outputs are ``(B, H, W, C)``.
        prefix_tokens: how many tokens are no place of the image; ``None`` where only their number tells.
    """

    layers: Mapping[str, str]
    channels_last: bool = False
    prefix_tokens: int | None = None

    def layout(self, output: Tensor) -> Layout | None:
        """How an output is laid out; ``None`` if it has no grid: neither four dimensions nor a square of tokens."""
        if output.ndim == 4:
            return Layout("channels_last" if self.channels_last else "map")
        if output.ndim == 3:
            for prefix in (0, 1) if self.prefix_tokens is None else (self.prefix_tokens,):
                places = output.shape[1] - prefix
                if places > 0 and math.isqrt(places) ** 2 == places:
                    return Layout("tokens", prefix, math.isqrt(places))
        return None


def features_of(backbone: nn.Module, stages: Mapping[str, str] | None = None) -> Features:
    """What a network declares, or what is known of its family; no stages of one that is neither.

    A network of your own declares its stages as an attribute: ``stages = {"early": "0", "late": "4"}``.

    Args:
        backbone: the network.
        stages: stage → path of a layer, in place of its own.

    Raises:
        UserError: a path that leads to no layer; the nearest is offered.
    """
    layers = _declared_layers(backbone) if stages is None else stages
    modules = dict(backbone.named_modules())
    for path in layers.values():
        if path not in modules or not path:
            raise UserError(f"model.stages: {unknown_name('layer', path, [name for name in modules if name])}")
    torchvisions_swin = _is_torchvision(backbone) and type(backbone).__name__ == "SwinTransformer"
    channels_last = torchvisions_swin or getattr(backbone, "output_fmt", None) == "NHWC"
    return Features(layers, channels_last, getattr(backbone, "num_prefix_tokens", None))


def head_of(backbone: nn.Module) -> str:
    """The path of the layer that gives the logits: what timm says it is, else the last linear layer or convolution.

    Raises:
        UserError: there is none.
    """
    declared = getattr(backbone, "get_classifier", None)
    head = declared() if callable(declared) else None
    named: list[str] = [path for path, module in backbone.named_modules() if module is head]
    layers = [path for path, module in backbone.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    if not (named or layers):
        raise UserError(f"this {type(backbone).__name__} has no linear layer that could be its head")
    return (named or layers)[-1]


def _declared_layers(backbone: Any) -> Mapping[str, str]:
    """Stage → path: the network's own word, a ResNet's, a known row of layers, timm's description; else nothing."""
    if isinstance(own := getattr(backbone, "stages", None), Mapping):
        return own
    if all(hasattr(backbone, layer) for layer in RESNET_STAGES.values()):
        return RESNET_STAGES
    family = type(backbone).__name__ if _is_torchvision(backbone) else ""
    if family in STAGES:
        return _numbered(STAGES[family])
    if family in TRUNKS:
        return _numbered(_ends(backbone.get_submodule(TRUNKS[family]), TRUNKS[family])[-FEW:])
    if family == "VisionTransformer":
        return _numbered(_spaced([f"encoder.layers.{name}" for name, _ in backbone.encoder.layers.named_children()]))
    # timm's: from a quarter of the image's side on, where the paper's conv2_x is.
    described = getattr(backbone, "feature_info", None) or ()
    return _numbered(_spaced([entry["module"] for entry in described if entry["reduction"] >= 4]))


def _is_torchvision(backbone: nn.Module) -> bool:
    return type(backbone).__module__.startswith("torchvision.models.")


def _ends(trunk: nn.Module, path: str) -> list[str]:
    """The last layer of a row at each resolution."""
    children = list(trunk.named_children())
    halved_next = [*(_halves(layer) for _, layer in children[1:]), True]
    return [f"{path}.{name}" for (name, _), last in zip(children, halved_next, strict=True) if last]


def _halves(layer: nn.Module) -> bool:
    """Whether a layer's output has a lower resolution than its input."""
    strides = [getattr(module, "stride", 1) for module in layer.modules()]
    return type(layer).__name__.startswith("PatchMerging") or any(stride not in (1, None, (1, 1)) for stride in strides)


def _spaced(paths: Sequence[str]) -> list[str]:
    """A few, evenly spaced, the last among them."""
    count = min(FEW, len(paths))
    return [paths[(number + 1) * len(paths) // count - 1] for number in range(count)]


def _numbered(paths: Sequence[str]) -> dict[str, str]:
    return {f"stage{number}": path for number, path in enumerate(paths, 1)}
