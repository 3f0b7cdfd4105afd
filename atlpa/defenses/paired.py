"""Terms that compare clean images with their adversarial counterparts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field
from torch import Tensor

from atlpa.defenses.term import Term, View, Views
from atlpa.field_types import FromList, Number
from atlpa.losses import attention_map_loss, kl_pairing_loss, logit_pairing_loss, top_k_pairing_loss
from atlpa.losses.top_classes import top_classes


class Paired(Term):
    """A term that compares clean images with their adversarial counterparts."""

    @property
    def needs(self) -> frozenset[View]:
        return frozenset({"clean", "adversarial"})


class AttentionMap(Paired):
    """L_AT, Eq. 4: the attention maps of both views should agree.

    Fields:
        p: the exponent and the norm. Default: the paper's.
        stages: I, the stages whose maps are compared; by default every one that the network has.
        detach: whether the clean maps are targets without a gradient; Eq. 4 is symmetric.
    """

    p: Annotated[Number, Field(ge=1, allow_inf_nan=False)] = 2
    stages: Annotated[tuple[str, ...], FromList, Field(min_length=1)] | None = None
    detach: bool = False

    def needs_stages(self, available: Sequence[str]) -> tuple[str, ...]:
        wanted = tuple(available) if self.stages is None else self.stages
        if missing := [name for name in wanted if name not in available] or ([] if wanted else ["any"]):
            has = f"has {', '.join(available)}" if available else "names none"
            raise ValueError(f"attention maps of {', '.join(missing)} are compared, but the network {has}")
        return wanted

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        assert views.clean_stages is not None
        assert views.adversarial_stages is not None
        clean = views.clean_stages
        if self.detach:
            clean = {name: stage.detach() for name, stage in clean.items()}
        return attention_map_loss(clean, views.adversarial_stages, self.p, stages=self.stages)


class PairedLogits(Paired):
    """A paired term of the logits alone."""

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        assert views.clean is not None
        assert views.adversarial is not None
        return self.between(views.clean, views.adversarial)

    @abstractmethod
    def between(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        """The loss between the logits ``(B, C)`` of both views, a scalar."""


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
