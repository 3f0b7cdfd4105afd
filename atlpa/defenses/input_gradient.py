"""A term of the gradient at the images."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from atlpa.defenses.term import Term, View, Views
from atlpa.field_types import Number
from atlpa.losses import input_gradient_loss


class InputGradient(Term):
    """Input gradient regularization (Ross & Doshi-Velez 2017) on the clean images, by double backpropagation."""

    weight: Annotated[Number, Field(ge=0)] = 0.02
    one_class: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[View]:
        return frozenset({"clean"})

    @property
    def needs_input_gradient(self) -> bool:
        return True

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        assert views.clean is not None
        return input_gradient_loss(views.clean, views.images, views.labels)
