"""Outputs of a network's stages, as maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


@contextmanager
def record_stages(model: nn.Module, layers: Mapping[str, str] | None = None) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of layers during the forward passes inside the ``with``.

    ::

        with record_stages(model) as stages:
            logits = model(images)
        stages["conv5_x"]  # (B, C, H, W), part of the graph of ``logits``

    Args:
        model: a ``Classifier``, a network of torchvision's or timm's, or any module if ``layers`` is given.
        layers: names to record under → submodule paths as in ``model.named_modules()``; by default the stages that
            the network declares, a ResNet's being conv2_x … conv5_x.

    Yields:
        A dictionary filled by each forward pass; a later pass replaces the earlier one's outputs, so attack before
        the ``with`` or after it. Tokens ``(B, N, C)`` come as maps ``(B, C, H, W)`` if those of the image are a square,
        and so do maps whose channels are last; other outputs come as they are.

    Raises:
        ValueError: a path that leads to no layer, or no ``layers`` for a network that declares none.
    """
    if layers is None and not (layers := stage_layers(model)):
        raise ValueError(
            f"this {type(model).__name__} declares no stages; pass layers={{name: path}}, or name them in model.stages"
        )
    features = model.features if isinstance(model, Classifier) else features_of(model, {})

    def shown(output: Tensor) -> Tensor:
        layout = features.layout(output)
        return layout.to_map(output) if layout else output

    with record_outputs(model, layers, shown) as stages:
        yield stages
