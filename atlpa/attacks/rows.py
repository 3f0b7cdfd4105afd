"""What an attack knows of a batch: tensors with a row for each image, which are chosen and joined together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Base of dataclasses whose fields are tensors ``(B, …)``, or ``Rows`` themselves.

    Indexing chooses images, adding puts others behind them. Neither waits for a device, as long as what chooses lies on
    the CPU.
    """

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, field.name) for field in fields(self))

    def __len__(self) -> int:
        return len(next(iter(self)))

    def __getitem__(self, chosen: Tensor | slice) -> Self:
        """Those of a slice, of positions on the CPU, or of a bool for each on the CPU."""
        if isinstance(chosen, slice):
            return type(self)(*(part[chosen] for part in self))
        if chosen.dtype == torch.bool:
            chosen = torch.nonzero(chosen).flatten()
            if len(chosen) == len(self):
                return self
        return type(self)(*(part[chosen if isinstance(part, Rows) else _beside(chosen, part)] for part in self))

    def __add__(self, more: Self) -> Self:
        if not (len(self) and len(more)):
            return self if len(self) else more
        pairs = zip(self, more, strict=True)
        return type(self)(*(a + b if isinstance(a, Rows) else torch.cat((a, b)) for a, b in pairs))


@dataclass(frozen=True)
class State(Rows):
    """Where an attack has come to with each image; what it needs to go on is in fields of subclasses.

    Fields:
        adversarial: ``(B, 3, H, W)``, within ε: what may fool the model now.
    """

    adversarial: Tensor

    @property
    def given_up(self) -> Tensor | None:
        """The images ``(B,)`` that no more steps are to be spent on, if the attack gives any up."""
        return None


def where(chosen: Tensor, these: Tensor, others: Tensor) -> Tensor:
    """These rows where they are chosen ``(B,)``, the others elsewhere."""
    return torch.where(chosen.view(-1, *[1] * (these.ndim - 1)), these, others)


def _beside(places: Tensor, part: Tensor) -> Tensor:
    return places.to(part.device, non_blocking=True)
