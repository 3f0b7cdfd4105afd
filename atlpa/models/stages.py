"""Outputs of a network's stages, as maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from atlpa.models.classifier import Classifier
from atlpa.models.features import features_of
from atlpa.models.outputs import record_outputs


def stage_layers(model: nn.Module) -> dict[str, str]:
    """The stages a network declares: name → path as in ``model.named_modules()``; empty if it declares none.

    Args:
        model: a ``Classifier``, or any network; torchvision's and timm's families are known.
    """
    return model.stage_layers if isinstance(model, Classifier) else dict(features_of(model).layers)


def _declared(model: nn.Module, names: Sequence[str] | None) -> dict[str, str]:
    """Some of the stages that a network declares, or all of them."""
    declared, kind = stage_layers(model), type(model).__name__
    if names is None and not declared:
        raise ValueError(f"this {kind} declares no stages; pass layers={{name: path}}, or name them in model.stages")
    if missing := [name for name in names or () if name not in declared]:
        raise ValueError(f"no stage {', '.join(missing)} in this {kind}; it declares {', '.join(declared) or 'none'}")
    return {name: path for name, path in declared.items() if names is None or name in names}


@contextmanager
def record_stages(
    model: nn.Module, layers: Mapping[str, str] | Sequence[str] | None = None
) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of layers during the forward passes inside the ``with``.

    Args:
        model: a ``Classifier``, a network of torchvision's or timm's, or any module if ``layers`` is given.
        layers: names to record under → submodule paths as in ``model.named_modules()``, or some of the stages that
            the network declares; by default all of these, a ResNet's being conv2_x … conv5_x.

    Yields:
        A dictionary filled by each forward pass; a later pass replaces the earlier one's outputs, so attack before
        the ``with`` or after it. Tokens ``(B, N, C)`` come as maps ``(B, C, H, W)`` if those of the image are a square,
        and so do maps whose channels are last; other outputs come as they are.

    Raises:
        ValueError: a path that leads to no layer, or no ``layers`` for a network that declares none.

    Examples:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> from atlpa.models import record_stages
        >>> model = resnet18()
        >>> with record_stages(model) as stages:
        ...     logits = model(torch.rand(1, 3, 64, 64))
        >>> list(stages)
        ['conv2_x', 'conv3_x', 'conv4_x', 'conv5_x']
        >>> stages["conv5_x"].shape
        torch.Size([1, 512, 2, 2])
        >>> stages["conv5_x"].requires_grad  # part of the graph of the logits
        True
    """
    if layers is None or not isinstance(layers, Mapping):
        layers = _declared(model, layers)
    features = model.features if isinstance(model, Classifier) else features_of(model, {})

    def shown(output: Tensor) -> Tensor:
        layout = features.layout(output)
        return layout.to_map(output) if layout else output

    with record_outputs(model, layers, shown) as stages:
        yield stages
