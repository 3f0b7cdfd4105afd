"""timm's networks by name; timm is imported only when one is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from atlpa.errors import UserError

PREFIX = "timm:"


@dataclass(frozen=True)
class TimmNetwork:
    """One of timm's networks, such as ``convnext_tiny`` or ``vit_tiny_patch16_224.augreg_in21k``."""

    name: str

    @property
    def size_option(self) -> str | None:
        """What the size of the images is called, of a network that is made for one."""
        return "img_size" if _timm().get_pretrained_cfg(self.name).fixed_input_size else None

    @property
    def side(self) -> int:
        """Of the images that it was made for."""
        return int(_timm().get_pretrained_cfg(self.name).input_size[-1])

    def __call__(self, classes: int, **size: int) -> nn.Module:
        """The network without weights."""
        network: nn.Module = _timm().create_model(self.name, pretrained=False, num_classes=classes, **size)
        return network

    def expression(self, classes: int, **size: int) -> str:
        """The same in Python that needs timm alone."""
        return f"timm.create_model({named(self.name, num_classes=classes, **size)})"

    def pretrained(self, **size: int) -> Mapping[str, Tensor]:
        """The weights that timm has under this name, downloaded once."""
        network: nn.Module = _timm().create_model(self.name, pretrained=True, **size)
        state: Mapping[str, Tensor] = network.state_dict()
        return state


def timm_network(name: str) -> TimmNetwork:
    """What makes ``timm:NAME``.

    Raises:
        UserError: timm is not installed, or has no network of this name; the nearest is offered.
    """
    timm, own = _timm(), name.removeprefix(PREFIX)
    if not timm.is_model(own):
        near = difflib.get_close_matches(own, timm.list_models(), n=1)
        hint = f"did you mean {PREFIX + near[0]!r}?" if near else "timm.list_models() lists them"
        raise UserError(f"unknown network {name!r}; {hint}")
    return TimmNetwork(own)


def named(name: str, **options: object) -> str:
    """The arguments of a call that makes a network by its name, as Python has them."""
    return ", ".join([repr(name), *(f"{option}={value!r}" for option, value in options.items())])


def _timm() -> Any:
    try:
        import timm  # takes seconds, and is an extra
    except ImportError as error:
        raise UserError("networks of timm need timm; install it with: pip install 'atlpa[networks]'") from error
    return timm
