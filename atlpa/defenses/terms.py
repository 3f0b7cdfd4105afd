"""The named loss terms a defense can be made of. A new term is one class here and one field of ``Terms``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from atlpa.component import Component, FromList, Number
from atlpa.losses import attention_map_loss, logit_pairing_loss, tolerant_logit_loss

Stage = Literal["conv2_x", "conv3_x", "conv4_x", "conv5_x"]
ALL_STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Views:
    """What one forward pass gave for one batch: the clean images, their adversarial counterparts, or both.

    Logits are ``(B, C)``, stages ``(B, C_j, H_j, W_j)`` by name; a view that the defense does not train on is ``None``.
    """

    labels: Tensor
    clean: Tensor | None = None
    adversarial: Tensor | None = None
    clean_stages: Mapping[str, Tensor] | None = None
    adversarial_stages: Mapping[str, Tensor] | None = None


class Term(Component):
    """A loss term: its fields are its options, its call is the loss without its weight.

    Fields:
        weight: the factor of this term in the sum.
    """

    paired: ClassVar[bool] = False
    """Whether the term compares clean images with their adversarial counterparts, so that it needs both."""

    weight: Annotated[Number, Field(ge=0)] = 1.0

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        """The unweighted loss, a scalar; ``adversarial_fraction`` is the defense's."""
        raise NotImplementedError


class CrossEntropy(Term):
    """Cross-entropy with the true label, L_CE of Eq. 2."""

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        parts = _mixed(views, adversarial_fraction)
        return torch.stack([share * F.cross_entropy(logits, views.labels) for share, logits in parts]).sum()


class TolerantLogit(Term):
    """L_TL, Eq. 3, on the images that cross-entropy sees.

    Fields:
        k: K, the number of top classes.
    """

    weight: Annotated[Number, Field(ge=0)] = 0.1
    k: Annotated[int, Field(ge=2)] = 5

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        parts = _mixed(views, adversarial_fraction)
        return torch.stack([share * tolerant_logit_loss(logits, self.k) for share, logits in parts]).sum()


class AttentionMap(Term):
    """L_AT, Eq. 4: the attention maps of both views should agree.

    Fields:
        p: the exponent and the norm.
        stages: I, the stages whose maps are compared.
    """

    paired: ClassVar[bool] = True

    p: Annotated[Number, Field(ge=1)] = 2
    stages: Annotated[tuple[Stage, ...], FromList, Field(min_length=1)] = ALL_STAGES

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        assert views.clean_stages is not None
        assert views.adversarial_stages is not None
        return attention_map_loss(
            [views.clean_stages[stage] for stage in self.stages],
            [views.adversarial_stages[stage] for stage in self.stages],
            self.p,
        )


class LogitPairing(Term):
    """Adversarial logit pairing (Kannan et al. 2018): the logits of both views should agree."""

    paired: ClassVar[bool] = True

    weight: Annotated[Number, Field(ge=0)] = 0.5

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        assert views.clean is not None
        assert views.adversarial is not None
        return logit_pairing_loss(views.clean, views.adversarial)


class Terms(Component):
    """The loss terms of a defense by name; an absent one is ``null``."""

    cross_entropy: CrossEntropy | None = None
    tolerant_logit: TolerantLogit | None = None
    attention_map: AttentionMap | None = None
    logit_pairing: LogitPairing | None = None

    def present(self) -> dict[str, Term]:
        """The terms that are there, by name, in a fixed order."""
        return {name: term for name in type(self).model_fields if (term := getattr(self, name)) is not None}


def _mixed(views: Views, adversarial_fraction: float) -> list[tuple[float, Tensor]]:
    """Logits of the views a defense trains on, each with its share; half and half is the paper's 1 : 1."""
    shares = [(1 - adversarial_fraction, views.clean), (adversarial_fraction, views.adversarial)]
    return [(share, logits) for share, logits in shares if share > 0 and logits is not None]
