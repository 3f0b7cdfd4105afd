"""What every loss term is: its fields are its options, its call is the loss; it says what it needs of a pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from atlpa.attacks import Cost
from atlpa.component import Component
from atlpa.field_types import Number

View = Literal["clean", "adversarial"]


@dataclass(frozen=True)
class Views:
    """What one forward pass gave for one batch: the clean images, their adversarial counterparts, or both.

    Labels are classes ``(B,)``, or shares of the classes ``(B, C)`` where images are mixed.
    Logits are ``(B, C)`` in float32, stages ``(B, C_j, H_j, W_j)`` by name in the precision of the pass; a view that
    the defense does not train on is ``None``. ``images`` are the clean ones, ``(B, 3, H, W)``, part of the graph where
    a term needs their gradient. ``epsilon`` is that of the training attack. A term that makes passes of its own has the
    ``model``, in training mode and outside of what joins processes, and a ``generator`` of the batch's draws.
    ``risen`` is how far ε has come on its schedule, as a share of its peak.
    """

    labels: Tensor
    images: Tensor
    clean: Tensor | None = None
    adversarial: Tensor | None = None
    clean_stages: Mapping[str, Tensor] | None = None
    adversarial_stages: Mapping[str, Tensor] | None = None
    model: nn.Module | None = None
    generator: torch.Generator | None = None
    epsilon: float | None = None
    risen: float = 1.0


class Term(Component):
    """A loss term: its fields are its options, its call is the loss without its weight.

    A new term is a subclass of this, or of ``Classification``, ``Paired`` or ``PairedLogits``, which know their views.
    It becomes part of a defense by its name in the table ``TERMS``, by an entry point or by its import path.

    Fields:
        weight: the factor of this term in the sum. Default: a plain start; presets have their sources' own values, or
            those that docs/defenses.md chose.
    """

    weight: Annotated[Number, Field(ge=0)] = 1.0
    one_class: ClassVar[bool] = False
    """Whether labels must be one class for each image, ``(B,)``; else shares of the classes ``(B, C)`` will do too."""

    @property
    def needs(self) -> frozenset[View]:
        """The views the term cannot do without, whatever the training mix."""
        return frozenset()

    def uses(self, view: View, adversarial_fraction: float) -> bool:
        """Whether a view enters the term under a training mix."""
        del adversarial_fraction
        return view in self.needs

    @property
    def needs_input_gradient(self) -> bool:
        """Whether the term differentiates with respect to ``Views.images``, the clean ones."""
        return False

    @property
    def differentiates_twice(self) -> bool:
        """Whether the network is differentiated twice, which not every layer can be."""
        return self.needs_input_gradient

    @property
    def follows_epsilon(self) -> bool:
        """Whether the term moves with ε of the training attack, though that may not be made."""
        return False

    @property
    def own_cost(self) -> Cost:
        """Passes of a batch that the term makes beside those of the step."""
        return Cost(0, 0)

    def needs_stages(self, available: Sequence[str]) -> tuple[str, ...]:
        """The stages whose outputs the term looks at.

        Args:
            available: those that the network has, in order.

        Raises:
            ValueError: the network lacks one.
        """
        del available
        return ()

    def check_network(self, network: nn.Module, size: int | None) -> None:
        """Refuse a network that the term can make nothing of, before it is trained.

        Args:
            network: images to logits.
            size: H = W of the images, where it is known.

        Raises:
            ValueError: why.
        """
        del network, size

    def for_classes(self, classes: int) -> Self:
        """The term with what its defaults leave to the number of classes decided.

        Raises:
            ValueError: an option that a data set of this many classes cannot serve.
        """
        del classes
        return self

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        """The unweighted loss, a scalar; ``adversarial_fraction`` is the defense's."""
        raise NotImplementedError(f"the loss term {type(self).__name__} has no __call__")
