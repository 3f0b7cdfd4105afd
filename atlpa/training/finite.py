"""A training that diverges is no result: what is not finite is refused before it is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from atlpa.errors import UserError


def must_be_finite(terms: Mapping[str, float], step: int) -> None:
    """Refuse a loss after which all would be worthless.

    Raises:
        UserError: a term is not finite; it is named.
    """
    if diverged := [name for name, value in terms.items() if not math.isfinite(value)]:
        raise UserError(
            f"training diverged by step {step}: {', '.join(diverged)} is not finite; try a lower learning rate"
        )


def weights_must_be_finite(network: nn.Module, step: int) -> None:
    """Refuse weights that a step has ruined, though its terms were still finite.

    Raises:
        UserError: a tensor is not finite; it is named.
    """
    broken = [name for name, value in network.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise UserError(
            f"training diverged by step {step}: {broken[0]} is not finite; try a lower learning rate or term weight"
        )
