"""What a defense is: which images it trains on, and the objective they are trained with."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, model_validator
from torch import Tensor

from atlpa.attacks import ATTACK_FIELDS, Attack, Cost, attack_class, read_attack
from atlpa.component import Component, field_names
from atlpa.defenses.term import Term, Views
from atlpa.defenses.terms import Terms
from atlpa.defenses.weight_perturbation import WeightPerturbation
from atlpa.dotted import merged
from atlpa.editors import Or
from atlpa.errors import UserError
from atlpa.field_types import Name, Number
from atlpa.models import RESNET_STAGES, Classifier, Denoising, InputNoise, ModelSpec, RandomResize


class Defense(Component):
    """The ``defense:`` section of an experiment, Eq. 2 in general: a weighted sum of named terms.

    Fields:
        name: how runs and tables call it.
        adversarial_fraction: f, the weight of the adversarial images in the training mix, 1 − f that of the clean
            ones; 0 trains on clean images alone, 0.5 is the paper's 1 : 1, 1 is Madry's original.
        terms: the loss terms by name (see ``TERMS``); one that is ``null`` is left out.
        attack: what this defense changes of the recipe's training attack: its fields, or another attack by ``name``,
            which keeps the recipe's values of the fields that both have.
        awp: adversarial weight perturbation, the worst weights nearby, at which every step then learns.
        denoise: the operation of feature denoising blocks in the network: ``softmax``, ``dot_product`` or ``mean``.
        noise: a first layer that adds noise, in training and at inference.
        randomize: random resizing and padding of the images, at inference.
    """

    name: Name
    adversarial_fraction: Annotated[Number, Field(ge=0, le=1)]
    terms: Terms
    attack: Annotated[dict[str, Any], ATTACK_FIELDS, Or(type="object", properties={"name": False})] = Field(
        default_factory=dict
    )
    awp: WeightPerturbation | None = None
    denoise: Denoising | None = None
    noise: InputNoise | None = None
    randomize: RandomResize | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, values: Any) -> Any:
        """What was written before any attack and any network could be had: with absent terms as ``null``.

        ``attack_loss: kl`` stood for that loss and a uniform start, and every stage of a ResNet was written out.
        """
        if not isinstance(values, Mapping):
            return values
        values, terms = dict(values), values.get("terms")
        if values.pop("attack_loss", None) == "kl":
            values["attack"] = {"loss": "kl", "start": "uniform"}
        older = isinstance(terms, Mapping) and None in terms.values()
        attention = (terms.get("attention_map") or {}) if older else {}
        if isinstance(attention, Mapping) and attention.get("stages") == list(RESNET_STAGES):
            values = merged(values, {"terms": {"attention_map": {"stages": None}}})
        return values

    @model_validator(mode="after")
    def _must_make_sense(self) -> Defense:
        if not any(term.weight > 0 for term in self.terms.values()):
            raise ValueError(f"{self.name} has no loss term with a weight above 0")
        for name, term in self.terms.items():
            if "adversarial" in term.needs and not self.needs_adversarial:
                raise ValueError(
                    f"term {name} needs adversarial images, but adversarial_fraction is 0; "
                    f"raise it (the paper's mix is 0.5) or set terms.{name} to null"
                )
        uses_adversarial = any(term.uses("adversarial", self.adversarial_fraction) for term in self.terms.values())
        if self.needs_adversarial and not uses_adversarial:
            raise ValueError(
                f"{self.name} attacks images, but no term looks at the adversarial ones; set adversarial_fraction: 0"
            )
        if self.attack and not self.needs_adversarial:
            raise ValueError("attack is given, but adversarial_fraction is 0: nothing is attacked")
        return self

    def for_classes(self, classes: int | None) -> Defense:
        """The same defense with what its defaults leave to the number of classes decided: K of its terms.

        Args:
            classes: of the data set; ``None`` where there are enough for every default.

        Raises:
            UserError: an option that a data set of this many classes cannot serve.
        """
        decided: dict[str, Term] = {}
        for name, term in self.terms.items():
            try:
                decided[name] = term.for_classes(sys.maxsize if classes is None else classes)
            except ValueError as error:
                raise UserError(f"defense.terms.{name}: {error}") from error
        return replace(self, terms=decided)

    def notes(self, classes: int) -> list[str]:
        """Where a default gives way to a data set of this many classes."""
        usual, here = self.for_classes(None).terms, self.for_classes(classes).terms
        fewer = [name for name, term in here.items() if term != usual[name]]
        return [f"defense.terms.{name}.k is {classes}, every class there is" for name in fewer]

    @property
    def needs_adversarial(self) -> bool:
        """Whether training attacks its batches."""
        return self.adversarial_fraction > 0

    @property
    def needs_clean(self) -> bool:
        """Whether the clean images go through the network in training."""
        return self.adversarial_fraction < 1 or any("clean" in term.needs for term in self.terms.values())

    @property
    def needs_input_gradient(self) -> bool:
        """Whether the objective differentiates with respect to the clean images."""
        return any(term.needs_input_gradient for term in self.terms.values())

    @property
    def differentiates_twice(self) -> bool:
        """Whether the objective differentiates the network twice."""
        return any(term.differentiates_twice for term in self.terms.values())

    def needs_stages(self, available: Sequence[str]) -> tuple[str, ...]:
        """The stages whose outputs some term looks at, in the network's order; none for most defenses.

        Args:
            available: those that the network has, in order.

        Raises:
            UserError: the network lacks one.
        """
        wanted: set[str] = set()
        for name, term in self.terms.items():
            try:
                wanted |= set(term.needs_stages(available))
            except ValueError as error:
                raise UserError(f"defense.terms.{name}: {error}") from error
        return tuple(name for name in available if name in wanted)

    @property
    def undefended(self) -> bool:
        """Whether it is plain training of a plain network, whatever it is called."""
        plain = self.denoise is None and self.awp is None and not self.randomized
        return plain and not self.needs_adversarial and set(self.terms) == {"cross_entropy"}

    @property
    def randomized(self) -> bool:
        """Whether the network draws at inference."""
        return self.noise is not None or self.randomize is not None

    def build(self, model: ModelSpec, classes: int, seed: int, size: int | None = None) -> Classifier:
        """A freshly initialized network with this defense's layers.

        Args:
            model: which network.
            classes: C.
            seed: of the initialization.
            size: H = W of the images, for networks that are made for one.

        Raises:
            UserError: the network lacks a stage that some term looks at (those it has are named), or a term can make
                nothing of it.
        """
        network = model.build(classes, seed, self.denoise, self.noise, self.randomize, size)
        try:
            self.needs_stages(tuple(network.stage_layers))
        except UserError as error:
            raise UserError(f"{error}; model.stages names layers of {model.architecture}") from error
        for name, term in self.terms.items():
            try:
                term.check_network(network, size)
            except ValueError as error:
                raise UserError(f"defense.terms.{name}: {error}") from error
        return network

    def training_attack(self, attack: Attack) -> Attack:
        """The recipe's attack as this defense changes it.

        Raises:
            ValueError: there is no such attack, or it has no such fields.
        """
        if not self.attack:
            return attack
        recipe = attack.settings()
        name = self.attack.get("name", recipe["name"])
        if name != recipe["name"]:
            recipe = {field: value for field, value in recipe.items() if field in field_names(attack_class(name))}
        changed: Attack = read_attack({**recipe, "name": name, **self.attack})
        return changed

    def cost(self, attack: Attack) -> Cost | None:
        """Passes of a batch through the network in one training step; ``None`` where the attack's depend on the images.

        Args:
            attack: the recipe's.
        """
        views = self.needs_clean + self.needs_adversarial
        # The views pass the network joined, so that the gradient at the clean images takes both back.
        doubled = views if self.needs_input_gradient else 0
        own = self.training_attack(attack).cost() if self.needs_adversarial else Cost(0, 0)
        if own is None:
            return None
        learned = [Cost(views, views + doubled), *(term.own_cost for term in self.terms.values())]
        parts = [own, *learned * (2 if self.awp else 1)]
        return Cost(sum(part.forwards for part in parts), sum(part.backwards for part in parts))

    def objective(self, views: Views) -> dict[str, Tensor]:
        """The weighted terms by name: the loss is their sum, the log is the dictionary.

        Raises:
            ValueError: a term gives no scalar.
        """
        values = {}
        for name, term in self.terms.items():
            value = term(views, self.adversarial_fraction)
            if value.ndim:
                raise ValueError(f"loss term {name} gave shape {tuple(value.shape)}; it must give a scalar")
            values[name] = term.weight * value
        return values
