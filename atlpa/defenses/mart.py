"""The two terms of MART (Wang et al. 2020)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from atlpa.defenses.classification import Classification
from atlpa.defenses.paired import Paired
from atlpa.defenses.term import Views
from atlpa.field_types import Number
from atlpa.losses import boosted_cross_entropy_loss, weighted_kl_pairing_loss


class BoostedCrossEntropy(Classification):
    """Cross-entropy that also pushes the likeliest wrong class down; the source has it on adversarial images."""

    one_class: ClassVar[bool] = True

    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        return boosted_cross_entropy_loss(logits, labels)


class WeightedKLPairing(Paired):
    """The predictions on both views should agree, the more the less the clean image is recognized. The weight is λ."""

    weight: Annotated[Number, Field(ge=0)] = 6.0
    one_class: ClassVar[bool] = True

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        assert views.clean is not None
        assert views.adversarial is not None
        return weighted_kl_pairing_loss(views.clean, views.adversarial, views.labels)
