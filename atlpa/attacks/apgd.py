"""Auto-PGD, the attack that chooses its own step sizes (Croce & Hein 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from atlpa.attacks.attack import Attack, Cost
from atlpa.attacks.inputs import AttackBatch, check_batch
from atlpa.attacks.objectives import OBJECTIVES, Objective
from atlpa.attacks.pgd import PGD
from atlpa.component import Number, PixelDistance
from atlpa.engine import Engine, Precision
from atlpa.model_state import Logits, eval_mode, with_generators
from atlpa.randomness import Generators

INERTIA = 0.25
"""The share of the last step that the next one goes on with, 1 − α of the source."""


class APGD(Attack):
    """L∞ projected gradient ascent with inertia, whose steps start at 2ε and are halved where they lead nowhere.

    At checkpoints, first after 22 % of the iterations, an image's step is halved and it goes on from its best point if
    at most a share ρ of its steps since the last checkpoint raised the loss, or if neither was its step halved there
    nor has its best loss risen since. Of a few iterations each is a checkpoint: a step that does not rise is halved.

    An iterate is each image's best point so far: of those that fool the model, or else of all, the one of the highest
    loss. A budget below ``iterations`` is judged on that same run, with its checkpoints.

    Fields:
        epsilon: ε of the L∞ ball, in units of the [0, 1] pixel range.
        iterations: how many steps; trainings take 2 to 5.
        start: ``uniform`` starts at a random point of the ε-ball, ``zero`` at the image.
        loss: what is climbed: ``cross_entropy`` with the true label, ``margin`` or ``dlr`` of the logits.
        rho: ρ, the share of rising steps up to which a step is halved.
        eot: gradients and losses are those of so many draws of a randomized model.
        engine: what gradients are computed on: ``auto``, a frozen copy of the model; ``reference``, the model itself.
        precision: of gradients and losses: ``fp32``, or ``bf16`` in convolutions and matrix products.
    """

    name = "apgd"
    budget = "iterations"
    serves: ClassVar[Mapping[str, str]] = {"eot": "randomized networks"}

    epsilon: PixelDistance = 8 / 255
    iterations: Annotated[int, Field(ge=1)] = 100
    start: Literal["zero", "uniform"] = "uniform"
    loss: Objective = "cross_entropy"
    rho: Annotated[Number, Field(ge=0, le=1)] = 0.75
    eot: Annotated[int, Field(ge=1)] = 1
    engine: Engine = "auto"
    precision: Precision = "fp32"

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """Each image's best point after each step, from one run; arguments and errors are those of a call."""
        batch, pgd = check_batch(images, labels), self._pgd
        model = pgd.prepare(model, batch.images)
        low, high = (batch.images - self.epsilon).clamp(min=0), (batch.images + self.epsilon).clamp(max=1)
        previous = pgd.initial(batch.images, generator)
        here = best = found = self._at(previous, *pgd.climb(model, previous, batch, generator), batch)
        step = torch.full_like(previous[:, :1, :1, :1], 2 * self.epsilon)
        rises, halved, checked = torch.zeros_like(batch.labels), torch.ones_like(here.fools), here.loss
        seen = here.loss  # at the last point, also where an image has gone back from it
        period, checkpoints = 0, self.checkpoints
        for iteration in range(1, self.iterations + 1):
            point = (here.images + step * here.gradient.sign()).clamp(low, high)
            if iteration > 1:
                ahead = (1 - INERTIA) * (point - here.images) + INERTIA * (here.images - previous)
                point = (here.images + ahead).clamp(low, high)
            if iteration < self.iterations:
                there = self._at(point, *pgd.climb(model, point, batch, generator), batch)
            else:  # from here no step is taken
                there = self._at(point, here.gradient, self._logits(model, point, batch, generator), batch)
            found = there.where(there.beats(found), found)
            yield found.images
            rises, seen, period = rises + (there.loss > seen), there.loss, period + 1
            previous, here, best = here.images, there, there.where(there.loss > best.loss, best)
            if iteration in checkpoints:
                stuck = (rises <= self.rho * period) | (~halved & (best.loss <= checked))
                step, here = torch.where(_wide(stuck), step / 2, step), best.where(stuck, here)
                rises, halved, checked, period = torch.zeros_like(rises), stuck, best.loss, 0

    @property
    def checkpoints(self) -> frozenset[int]:
        """The iterations after which steps are halved: periods of 22 % of all, each 3 % shorter, down to 6 %.

        Shares are rounded down and at least one iteration, as in the authors' code.
        """
        period, shorter, shortest = (max(1, int(share * self.iterations)) for share in (0.22, 0.03, 0.06))
        found, place = [], period
        while place < self.iterations:
            found.append(place)
            period = max(period - shorter, shortest)
            place += period
        return frozenset(found)

    @property
    def _pgd(self) -> PGD:
        """What has the same start and the same gradients."""
        return PGD(
            epsilon=self.epsilon,
            iterations=self.iterations,
            start=self.start,
            loss=self.loss,
            eot=self.eot,
            engine=self.engine,
            precision=self.precision,
        )

    def _at(self, images: Tensor, gradient: Tensor, logits: Tensor, batch: AttackBatch) -> _Place:
        loss = OBJECTIVES[self.loss](logits, batch.labels)
        return _Place(images, gradient, loss, logits.argmax(dim=1) != batch.labels)

    def _logits(self, model: Logits, point: Tensor, batch: AttackBatch, generator: Generators) -> Tensor:
        """Those of a point ``(B, C)``, mean over the draws."""
        with torch.inference_mode(False), torch.no_grad(), eval_mode(model), with_generators(model, generator):
            passes = [batch.checked_logits(model(point.clone())) for _ in range(self.eot)]
        return torch.stack(passes).mean(dim=0)

    @property
    def fewest_classes(self) -> int:
        """Three where the DLR loss compares as many logits."""
        return self._pgd.fewest_classes

    def cost(self) -> Cost:
        """A pass each way per step and draw, and a last look forward."""
        return Cost(forwards=(self.iterations + 1) * self.eot, backwards=self.iterations * self.eot)

    def on(self, device: torch.device) -> APGD:
        """With the precision that the device has instructions for."""
        return replace(self, precision=self._pgd.on(device).precision)

    def device_notes(self, device: torch.device) -> list[str]:
        """A precision that the device does not have."""
        return self._pgd.device_notes(device)


class _Place(NamedTuple):
    """Where each image is, and what the model says there.

    Fields:
        images: ``(B, 3, H, W)``.
        gradient: likewise, of the loss.
        loss: ``(B,)``.
        fools: ``(B,)`` bool.
    """

    images: Tensor
    gradient: Tensor
    loss: Tensor
    fools: Tensor

    def where(self, chosen: Tensor, other: _Place) -> _Place:
        """This place for the images that are chosen ``(B,)``, the other one for the rest."""
        images, gradient = (torch.where(_wide(chosen), *pair) for pair in zip(self[:2], other[:2], strict=True))
        loss, fools = (torch.where(chosen, *pair) for pair in zip(self[2:], other[2:], strict=True))
        return _Place(images, gradient, loss, fools)

    def beats(self, other: _Place) -> Tensor:
        """Where it fools the model and the other does not, or else is of a higher loss, ``(B,)`` bool."""
        return torch.where(self.fools == other.fools, self.loss > other.loss, self.fools)


def _wide(values: Tensor) -> Tensor:
    """One for each image ``(B,)``, beside its pixels."""
    return values[:, None, None, None]
