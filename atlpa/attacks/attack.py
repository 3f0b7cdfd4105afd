"""What every attack is: a frozen value whose fields are its settings and whose call gives adversarial images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Self, dataclass_transform

import torch
from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema
from torch import Tensor

from atlpa.attacks.inputs import check_batch
from atlpa.attacks.norms import BALLS, Ball
from atlpa.attacks.stepwise import Cost, Stepwise
from atlpa.component import Component, dump
from atlpa.field_types import Radius, check_pixel_range
from atlpa.model_state import Logits, eval_mode, with_generators
from atlpa.randomness import Generators


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
class Attack(Component, kw_only=False):
    """Base of all attacks on a callable ``images → logits``.

    A new attack is a subclass with a name, its settings as fields, and ``perturb``, or ``run`` where it comes closer
    step by step. Everything else follows: YAML, command line, records, white-box and transfer evaluation.

    Fields:
        epsilon: ε, how far an image may be moved in the attack's ``norm``, in units of the [0, 1] pixel range.
    """

    name: ClassVar[str]
    """What YAML, the command line and records call it."""
    gradients: ClassVar[bool] = True
    """Whether it differentiates the model; else a callable without gradients will do."""
    transferable: ClassVar[bool] = True
    """Whether its images say something about other networks than the one that they were made on."""
    bounded: ClassVar[bool] = True
    """Whether its images stay within ε, as an evaluation demands; else it serves training alone."""
    minimal: ClassVar[bool] = False
    """Whether it looks for the nearest image that fools, within ε, and its states hold how near that is."""
    budget: ClassVar[str | None] = None
    """The field that says how many iterates there are, which ``--iters`` sets; ``None`` where there is one."""
    serves: ClassVar[Mapping[str, str]] = {}
    """Fields that serve one kind of evaluation alone: ``white-box``, ``transfer`` or ``randomized networks``."""

    epsilon: Radius = 8 / 255

    @model_validator(mode="after")
    def _epsilon_fits_the_norm(self) -> Self:
        if self.norm == "Linf":
            check_pixel_range(self, "epsilon")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """In L∞ no ε is above 1."""
        referred = super().__get_pydantic_json_schema__(core, handler)
        whole, most = handler.resolve_ref_schema(referred), {"properties": {"epsilon": {"maximum": 1}}}
        if "norm" in whole["properties"]:
            whole |= {"if": {"properties": {"norm": {"const": "L2"}}, "required": ["norm"]}, "else": most}
        else:
            whole["properties"]["epsilon"]["maximum"] = 1
        return referred

    def __init_subclass__(cls, *, kw_only: bool = False, **options: Any) -> None:
        super().__init_subclass__(kw_only=kw_only, **options)

    def __call__(self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None) -> Tensor:
        """Attack a batch.

        Args:
            model: images → logits; left exactly as found.
            images: ``(B, 3, H, W)`` in [0, 1].
            labels: ``(B,)`` true classes; or shares of the classes ``(B, C)``, where the attack ``takes_shares``.
            generator: source of all randomness, a randomized model's draws included: one for the batch, or one for
                each image, so that batching changes nothing; by default torch's global one.

        Returns:
            Adversarial images of the same shape, within ε of ``images`` and within [0, 1], part of no graph.

        Raises:
            ValueError: images that are no floats in [0, 1], or labels that are not one class of the model's per image.
        """
        *_, last = self.iterates(model, images, labels, generator=generator)
        return last

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """The images after each step, so that one run serves every budget; arguments and errors are those of a call."""
        batch = check_batch(images, labels, shares=self.takes_shares)
        steps = self.run(model, batch.images, batch.labels, generator)
        while True:
            # Between two steps whoever asks for them meets the model as it was.
            with eval_mode(model), with_generators(model, generator), torch.enable_grad():
                adversarial = next(steps, None)
            if adversarial is None:
                return
            yield adversarial.detach()

    def run(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> Iterator[Tensor]:
        """The images ``(B, 3, H, W)`` after each step; what it is given was checked.

        The model is in evaluation mode, its parameters ask for no gradient, and its random layers draw from the
        generator.
        """
        yield self.perturb(model, images, labels, generator)

    def perturb(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> Tensor:
        """The adversarial images of an attack that has one iterate; otherwise as ``run``."""
        raise NotImplementedError(f"{type(self).__name__} has neither run nor perturb")

    def stages(self, classes: int) -> Sequence[Stepwise]:
        """The attack as single steps of each image, one stage after another on what stands; none where it has no such.

        Args:
            classes: how many the model tells apart.
        """
        del classes
        return ()

    @property
    def norm(self) -> str:
        """In which ε is measured; an attack that knows several has a field of this name."""
        return "Linf"

    def ball(self, images: Tensor) -> Ball:
        """Where its images may lie, ε-balls around ``images`` in its norm."""
        return BALLS[self.norm](images, self.epsilon)

    @property
    def title(self) -> str:
        """What a result calls it, as one stage of another attack."""
        return self.name

    @property
    def last_iterate(self) -> int:
        """How many iterates there are: the value of the budget field, or 1."""
        return int(getattr(self, self.budget)) if self.budget else 1

    @property
    def takes_shares(self) -> bool:
        """Whether labels may be shares of the classes ``(B, C)``, as mixed images have them in training."""
        return False

    @property
    def fewest_classes(self) -> int:
        """How many classes a network must have."""
        return 2

    @property
    def smallest_side(self) -> int:
        """How many pixels a side an image must have."""
        return 1

    def unfit(self, *, classes: int | None = None, side: int | None = None) -> str | None:
        """Why it cannot be made, as set, on so many classes or on images of such a side; ``None`` where it can.

        Args:
            classes: how many the network tells apart, if it matters.
            side: of the images in pixels, the shorter one, if it matters.
        """
        needs = f"{self.name} as it is set needs at least"
        if classes is not None and classes < self.fewest_classes:
            return f"{classes} classes; {needs} {self.fewest_classes}"
        if side is not None and side < self.smallest_side:
            return f"images of {side} pixels a side; {needs} {self.smallest_side}"
        return None

    def settings(self) -> dict[str, Any]:
        """Name and fields as plain values, as YAML and records hold them."""
        return {"name": self.name, **dump(self)}

    def cost(self) -> Cost | None:
        """Passes of a batch; ``None`` where they depend on the images."""
        return None

    def suited_to(self, *, white_box: bool, randomized: bool) -> Self:
        """The attack without what does not serve here: fields of another purpose are at their defaults.

        Args:
            white_box: whether the network judged is the one attacked.
            randomized: whether the network attacked draws.

        Raises:
            ValueError: a setting that such an evaluation does not admit.
        """
        served = {"white-box" if white_box else "transfer", *(["randomized networks"] if randomized else [])}
        idle = {name for name, purpose in self.serves.items() if purpose not in served}
        changes: dict[str, Any] = {field.name: field.default for field in fields(self) if field.name in idle}
        return replace(self, **changes)

    def scaled(self, share: float) -> Self:
        """The attack with a share of its ε, for an ε that grows in training; with all of it, itself.

        What is measured against ε, as a step is, keeps its proportion to it; other fields of another package's attack
        stay as they are.

        Args:
            share: in [0, 1]; 0 leaves the images as they are.

        Raises:
            ValueError: another share.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"{share:g} of ε; give a share from 0 to 1")
        return self if share == 1 else replace(self, **self._scaled(share))

    def at(self, epsilon: float) -> Self:
        """The attack at another ε; what is measured against ε, as a step is, keeps its proportion to it."""
        return replace(self, **(self._scaled(epsilon / self.epsilon) if self.epsilon else {}) | {"epsilon": epsilon})

    def _scaled(self, share: float) -> dict[str, Any]:
        """The fields that change with ε, at a multiple of it."""
        return {"epsilon": share * self.epsilon}

    def on(self, device: torch.device) -> Self:
        """The attack as a device carries it out, which records hold."""
        del device
        return self

    def notes(self, budgets: Sequence[int] = ()) -> list[str]:
        """What is allowed but may surprise: sentences that a command prints before it starts.

        Args:
            budgets: iteration budgets that are judged; by default the attack's own.
        """
        del budgets
        return []

    def device_notes(self, device: torch.device) -> list[str]:
        """What ``on`` changes there, as such sentences."""
        del device
        return []

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be made here and what to install, if so."""
        return None
