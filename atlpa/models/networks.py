"""The table of networks: what makes one by name, from torchvision, timm or any package, and its pretrained weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator
from torch import Tensor, nn

from atlpa.editors import NameIn
from atlpa.errors import UserError, reason
from atlpa.models.small_cnn import small_cnn
from atlpa.models.small_images import SMALL_IMAGE_RESNETS
from atlpa.models.timm_networks import PREFIX, named, timm_network
from atlpa.models.twice import twice_differentiable
from atlpa.registry import Registry, is_import_path

SIZE_OPTIONS = ("image_size", "img_size")


class Factory(Protocol):
    """Makes a network of C classes; its logits come from normalized images ``(B, 3, H, W)``.

    One whose network is made for images of one size takes it as ``image_size`` or ``img_size``. It may have published
    weights: ``pretrained(**size)`` then gives a state dict.
    """

    def __call__(self, classes: int, /) -> nn.Module: ...


@dataclass(frozen=True)
class TorchvisionNetwork:
    """One of torchvision's classifiers."""

    name: str

    @property
    def size_option(self) -> str | None:
        """What the size of the images is called, of a network that is made for one."""
        return "image_size" if self.name.startswith("vit_") else None

    def __call__(self, classes: int, **size: int) -> nn.Module:
        """The network without weights."""
        from torchvision.models import get_model

        network: nn.Module = get_model(self.name, weights=None, num_classes=classes, **self._options, **size)
        return network

    def expression(self, classes: int, **size: int) -> str:
        """The same in Python that needs torchvision alone."""
        return f"torchvision.models.get_model({named(self.name, num_classes=classes, **self._options, **size)})"

    @property
    def _options(self) -> dict[str, bool]:
        """Without heads that only training with their own losses would use."""
        return {"aux_logits": False, "init_weights": True} if self.name in ("googlenet", "inception_v3") else {}

    def pretrained(self, **size: int) -> Mapping[str, Tensor]:
        """torchvision's first ImageNet weights, downloaded once; a ViT's positions are interpolated to its grid."""
        from torchvision.models import get_model_weights
        from torchvision.models.vision_transformer import interpolate_embeddings

        weights = get_model_weights(self.name)["IMAGENET1K_V1"]
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
        if size:
            patch = int(self.name.rpartition("_")[2])
            state = interpolate_embeddings(size["image_size"], patch, dict(state))
        return {name: value for name, value in state.items() if not name.lower().startswith("aux")}


@cache
def _of_torchvision() -> Mapping[str, TorchvisionNetwork]:
    import torchvision  # takes as long as torch, and not every network is its

    return {name: TorchvisionNetwork(name) for name in torchvision.models.list_models(module=torchvision.models)}


class BuiltIn(Mapping[str, Factory]):
    """torchvision's classifiers and our own; torchvision is not imported for what cannot be its."""

    own: Mapping[str, Factory] = {**SMALL_IMAGE_RESNETS, "small_cnn": small_cnn}

    def __getitem__(self, name: str) -> Factory:
        if name in self.own:
            return self.own[name]
        if is_import_path(name):
            raise KeyError(name)
        return _of_torchvision()[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*_of_torchvision(), *self.own))

    def __len__(self) -> int:
        return len(_of_torchvision()) + len(self.own)


class Networks(Registry[Factory]):
    """The table of networks; ``timm:NAME`` is any of timm's."""

    def __getitem__(self, name: str) -> Factory:
        if name.startswith(PREFIX):
            return timm_network(name)
        found = super().__getitem__(name)
        if not callable(found):
            raise UserError(
                f"network {name!r} is a {type(found).__name__}; give what is called with a number of classes"
            )
        return found


NETWORKS = Networks("network", "atlpa.networks", BuiltIn())
"""Name → what makes the network: torchvision's classifiers, ResNets and a CNN for small images, ``timm:NAME``, entry
points, ``package.module:factory``."""


def _known(name: str) -> str:
    NETWORKS[name]
    return name


NetworkName = Annotated[str, AfterValidator(_known), NameIn(NETWORKS)]
"""A field that names a network; what is no name is refused with the nearest."""


def slug(name: str) -> str:
    """A network's name as part of a file's."""
    return name.replace(":", "-")


def size_of(factory: Factory, size: int | None) -> dict[str, int]:
    """The option by which a factory wants to know the size of the images; empty if it makes networks for any."""
    if size is None:
        return {}
    option = getattr(factory, "size_option", "unknown")
    if option == "unknown":
        taken = inspect.signature(factory).parameters
        option = next((name for name in SIZE_OPTIONS if name in taken), None)
    return {option: size} if option else {}


def expression_of(name: str, classes: int, size: int | None = None) -> str:
    """Python that makes a network's backbone: in the words of torchvision or timm where it is theirs.

    Args:
        name: one of ``NETWORKS``.
        classes: C.
        size: as ``build_backbone`` takes it.
    """
    factory: Any = NETWORKS[name]
    if hasattr(factory, "expression"):
        expression: str = factory.expression(classes, **size_of(factory, size))
        return expression
    return f"atlpa.models.build_backbone({name!r}, {classes}, {size})"


def build_backbone(name: str, classes: int, size: int | None = None) -> nn.Module:
    """A network by name, with fresh weights.

    Args:
        name: one of ``NETWORKS``.
        classes: C.
        size: H = W of the images, for networks that are made for one; ``None`` leaves it to them.

    Raises:
        UserError: no such network, or its factory fails.
    """
    factory: Any = NETWORKS[name]
    where = f" for images of {size}×{size}" if size else ""
    try:
        backbone = factory(classes, **size_of(factory, size))
    except Exception as error:  # of somebody else's code, which may raise anything
        raise UserError(f"network {name!r} with {classes} classes{where} cannot be built: {reason(error)}") from error
    if not isinstance(backbone, nn.Module):
        raise UserError(f"network {name!r} gave a {type(backbone).__name__}; its factory must return a torch.nn.Module")
    return twice_differentiable(backbone)
