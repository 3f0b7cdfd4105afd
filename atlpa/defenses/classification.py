"""Terms of one image's logits and label."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from atlpa.defenses.term import Term, View, Views
from atlpa.field_types import FromList, Number
from atlpa.losses import tolerant_logit_loss
from atlpa.losses.top_classes import ranked_classes, top_classes


class Classification(Term):
    """A term of one image's logits and label, averaged over a view or over the training mix.

    Fields:
        images: ``mix`` weighs both views by the defense's ``adversarial_fraction``; else one view alone. Default: the
            paper's 1 : 1 mix.
    """

    images: Literal["mix", "clean", "adversarial"] = "mix"

    @property
    def needs(self) -> frozenset[View]:
        return frozenset() if self.images == "mix" else frozenset({self.images})

    def uses(self, view: View, adversarial_fraction: float) -> bool:
        if self.images != "mix":
            return view == self.images
        return adversarial_fraction > 0 if view == "adversarial" else adversarial_fraction < 1

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        share = {"mix": adversarial_fraction, "clean": 0.0, "adversarial": 1.0}[self.images]
        weighed = [(1 - share, views.clean), (share, views.adversarial)]
        parts = [weight * self.of(logits, views.labels) for weight, logits in weighed if weight and logits is not None]
        return torch.stack(parts).sum()

    @abstractmethod
    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of one view, a scalar."""


class CrossEntropy(Classification):
    """Cross-entropy with the true label, L_CE of Eq. 2.

    Fields:
        smoothing: of the label; 0.1 leaves 0.9 + 0.1/C on the true class. Default: Eq. 2's.
    """

    smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.0

    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)


class TolerantLogit(Classification):
    """L_TL, Eq. 3.

    Fields:
        k: K, the number of top classes; by default the paper's 5, or every class where there are fewer.
        weights: w_2 … w_K; by default 1/(K−1) each. Where they are given, K may be left out.
        on: ``logits``, as Eq. 3 says, or ``probabilities``, as Yang et al. do. Default: Eq. 3's.
    """

    weight: Annotated[Number, Field(ge=0)] = 0.1
    k: Annotated[int, Field(ge=2)] | None = None
    weights: Annotated[tuple[Annotated[Number, Field(ge=0)], ...], FromList] | None = None
    on: Literal["logits", "probabilities"] = "logits"

    @model_validator(mode="after")
    def _one_weight_a_rank(self) -> TolerantLogit:
        ranked_classes(self.k, self.weights)
        return self

    def for_classes(self, classes: int) -> Self:
        k = top_classes(ranked_classes(self.k, self.weights), classes, fewest=2)
        return replace(self, k=k)

    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        del labels
        values = logits if self.on == "logits" else logits.softmax(dim=1)
        return tolerant_logit_loss(values, self.k, self.weights)
