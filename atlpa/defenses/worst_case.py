"""A term of the worst that interval bounds leave possible (Gowal et al. 2018)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from atlpa.attacks import Cost
from atlpa.bounds import worst_case_logits
from atlpa.defenses.term import Term, View, Views
from atlpa.field_types import Number, PixelDistance


class WorstCase(Term):
    """κ · cross-entropy of the clean images + (1 − κ) · cross-entropy of worst-case logits over their ε-ball.

    κ falls from 1 along the schedule of ε, as in the source: 1 − (1 − κ_end) · s, where s is the share of its peak that
    ε has risen to. The bounds are of the network in evaluation mode, by interval arithmetic, in float32.

    Fields:
        kappa: κ_end, the share that stays with the clean images. Default: the source's.
        epsilon: ε of the ball, in units of the [0, 1] pixel range; by default that of the training attack.
    """

    one_class: ClassVar[bool] = True
    kappa: Annotated[Number, Field(ge=0, le=1)] = 0.5
    epsilon: PixelDistance | None = None

    @property
    def needs(self) -> frozenset[View]:
        return frozenset({"clean"})

    @property
    def follows_epsilon(self) -> bool:
        return True

    @property
    def own_cost(self) -> Cost:
        """Centers and radii pass each layer once, forward and back."""
        return Cost(2, 2)

    def check_network(self, network: nn.Module, size: int | None) -> None:
        if size:
            with torch.no_grad():
                worst_case_logits(network, torch.zeros(1, 3, size, size), torch.zeros(1, dtype=torch.long), 0.0)

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        epsilon = views.epsilon if self.epsilon is None else self.epsilon * views.risen
        if views.model is None or views.clean is None or epsilon is None:
            raise ValueError("worst_case needs views.model and views.clean, and views.epsilon where it has none")
        labels = views.labels
        if labels.is_floating_point():
            raise ValueError("worst_case needs labels of one class each, and these are shares of several")
        kappa = 1 - (1 - self.kappa) * views.risen
        worst = worst_case_logits(views.model, views.images, labels, epsilon)
        return kappa * F.cross_entropy(views.clean, labels) + (1 - kappa) * F.cross_entropy(worst, labels)
