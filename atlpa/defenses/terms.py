"""The named loss terms a defense can be made of. A new term is one class here and one field of ``Terms``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from atlpa.component import Component, FromList, Number, field_names
from atlpa.losses import (
    attention_map_loss,
    input_gradient_loss,
    kl_pairing_loss,
    logit_pairing_loss,
    tolerant_logit_loss,
    top_k_pairing_loss,
)
from atlpa.losses.top_classes import ranked_classes, top_classes

View = Literal["clean", "adversarial"]
Stage = Literal["conv2_x", "conv3_x", "conv4_x", "conv5_x"]
ALL_STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Views:
    """What one forward pass gave for one batch: the clean images, their adversarial counterparts, or both.

    Logits are ``(B, C)`` in float32, stages ``(B, C_j, H_j, W_j)`` by name in the precision of the pass; a view that
    the defense does not train on is ``None``. ``images`` are the clean ones, ``(B, 3, H, W)``, part of the graph where
    a term needs their gradient.
    """

    labels: Tensor
    images: Tensor
    clean: Tensor | None = None
    adversarial: Tensor | None = None
    clean_stages: Mapping[str, Tensor] | None = None
    adversarial_stages: Mapping[str, Tensor] | None = None


class Term(Component):
    """A loss term: its fields are its options, its call is the loss without its weight.

    Fields:
        weight: the factor of this term in the sum.
    """

    weight: Annotated[Number, Field(ge=0)] = 1.0

    @property
    def needs(self) -> frozenset[View]:
        """The views the term cannot do without, whatever the training mix."""
        return frozenset()

    def uses(self, view: View, adversarial_fraction: float) -> bool:
        """Whether a view enters the term under a training mix."""
        del adversarial_fraction
        return view in self.needs

    def for_classes(self, classes: int) -> Self:
        """The term with what its defaults leave to the number of classes decided.

        Raises:
            ValueError: an option that a data set of this many classes cannot serve.
        """
        del classes
        return self

    @abstractmethod
    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        """The unweighted loss, a scalar; ``adversarial_fraction`` is the defense's."""


class Classification(Term):
    """A term of one image's logits and label, averaged over a view or over the training mix.

    Fields:
        images: ``mix`` weighs both views by the defense's ``adversarial_fraction``; else one view alone.
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
        smoothing: of the label; 0.1 leaves 0.9 + 0.1/C on the true class.
    """

    smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.0

    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)


class TolerantLogit(Classification):
    """L_TL, Eq. 3.

    Fields:
        k: K, the number of top classes; by default the paper's 5, or every class where there are fewer.
        weights: w_2 … w_K; by default 1/(K−1) each. Where they are given, K may be left out.
        on: ``logits``, as Eq. 3 says, or ``probabilities``, as Yang et al. do.
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


class Paired(Term):
    """A term that compares clean images with their adversarial counterparts."""

    @property
    def needs(self) -> frozenset[View]:
        return frozenset({"clean", "adversarial"})


class PairedLogits(Paired):
    """A paired term of the logits alone."""

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        assert views.clean is not None
        assert views.adversarial is not None
        return self.between(views.clean, views.adversarial)

    @abstractmethod
    def between(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        """The loss between the logits of both views, a scalar."""


class AttentionMap(Paired):
    """L_AT, Eq. 4: the attention maps of both views should agree.

    Fields:
        p: the exponent and the norm.
        stages: I, the stages whose maps are compared.
        detach: whether the clean maps are targets without a gradient; Eq. 4 is symmetric.
    """

    p: Annotated[Number, Field(ge=1, allow_inf_nan=False)] = 2
    stages: Annotated[tuple[Stage, ...], FromList, Field(min_length=1)] = ALL_STAGES
    detach: bool = False

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        assert views.clean_stages is not None
        assert views.adversarial_stages is not None
        clean = views.clean_stages
        if self.detach:
            clean = {name: stage.detach() for name, stage in clean.items()}
        return attention_map_loss(clean, views.adversarial_stages, self.p, stages=self.stages)


class LogitPairing(PairedLogits):
    """Adversarial logit pairing (Kannan et al. 2018): the logits of both views should agree."""

    weight: Annotated[Number, Field(ge=0)] = 0.5

    def between(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        return logit_pairing_loss(clean, adversarial)


class TopKPairing(PairedLogits):
    """The paired reading of tolerant logits: pairing on the classes that rank first on the clean image.

    Fields:
        k: K, the number of top classes; by default the paper's 5, or every class where there are fewer.
    """

    weight: Annotated[Number, Field(ge=0)] = 0.5
    k: Annotated[int, Field(ge=1)] | None = None

    def for_classes(self, classes: int) -> Self:
        return replace(self, k=top_classes(self.k, classes))

    def between(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        return top_k_pairing_loss(clean, adversarial, self.k)


class KLPairing(PairedLogits):
    """TRADES (Zhang et al. 2019): the predictions on both views should agree. The weight is their β = 1/λ."""

    weight: Annotated[Number, Field(ge=0)] = 1.0

    def between(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        return kl_pairing_loss(clean, adversarial)


class InputGradient(Term):
    """Input gradient regularization (Ross & Doshi-Velez 2017) on the clean images, by double backpropagation."""

    weight: Annotated[Number, Field(ge=0)] = 0.02

    @property
    def needs(self) -> frozenset[View]:
        return frozenset({"clean"})

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        assert views.clean is not None
        return input_gradient_loss(views.clean, views.images, views.labels)


class Terms(Component):
    """The loss terms of a defense by name; an absent one is ``null``.

    A subclass with further terms serves ``training_step``; an experiment, whose YAML could not hold it, refuses it.
    """

    cross_entropy: CrossEntropy | None = None
    tolerant_logit: TolerantLogit | None = None
    attention_map: AttentionMap | None = None
    logit_pairing: LogitPairing | None = None
    top_k_pairing: TopKPairing | None = None
    kl_pairing: KLPairing | None = None
    input_gradient: InputGradient | None = None

    def present(self) -> dict[str, Term]:
        """The terms that are there, by name, in a fixed order."""
        return {name: term for name in field_names(self) if (term := getattr(self, name)) is not None}
