"""What a defense is: which images it trains on, and the objective they are trained with."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from torch import Tensor

from atlpa.component import Component, Number
from atlpa.defenses.terms import Terms, Views
from atlpa.errors import UserError


class Defense(Component):
    """The ``defense:`` section of an experiment, Eq. 2 in general: a weighted sum of named terms.

    Fields:
        name: how runs and tables call it.
        adversarial_fraction: f, the weight of the adversarial images in the training mix, 1 − f that of the clean
            ones; 0 trains on clean images alone, 0.5 is the paper's 1 : 1, 1 is Madry's original.
        terms: the loss terms.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+-]+$")]
    adversarial_fraction: Annotated[Number, Field(ge=0, le=1)]
    terms: Terms

    @model_validator(mode="after")
    def _must_make_sense(self) -> Defense:
        terms = self.terms.present()
        if not any(term.weight > 0 for term in terms.values()):
            raise ValueError(f"{self.name} has no loss term with a weight above 0")
        if not self.needs_adversarial:
            for name, term in terms.items():
                if term.paired:
                    raise ValueError(
                        f"term {name} compares clean with adversarial images, but adversarial_fraction is 0; "
                        f"raise it (the paper's mix is 0.5) or set terms.{name} to null"
                    )
        return self

    def check_classes(self, classes: int) -> None:
        """Refuse options that a data set of this many classes cannot serve."""
        term = self.terms.tolerant_logit
        if term is not None and term.k > classes:
            raise UserError(f"defense.terms.tolerant_logit.k: {term.k} top classes of {classes}; at most {classes}")

    @property
    def needs_adversarial(self) -> bool:
        """Whether training attacks its batches."""
        return self.adversarial_fraction > 0

    @property
    def needs_clean(self) -> bool:
        """Whether the clean images go through the network in training."""
        return self.adversarial_fraction < 1 or any(term.paired for term in self.terms.present().values())

    def objective(self, views: Views) -> dict[str, Tensor]:
        """The weighted terms by name: the loss is their sum, the log is the dictionary."""
        return {
            name: term.weight * term(views, self.adversarial_fraction) for name, term in self.terms.present().items()
        }
