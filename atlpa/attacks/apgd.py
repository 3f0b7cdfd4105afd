"""Auto-PGD, the attack that chooses its own step sizes (Croce & Hein 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from atlpa.attacks.gradient_steps import GradientSteps
from atlpa.attacks.inputs import AttackBatch, check_batch
from atlpa.attacks.norms import Norm
from atlpa.attacks.objectives import OBJECTIVES, TARGETED, Objective, fools, ranked_targets
from atlpa.attacks.pgd import PGD
from atlpa.attacks.rows import State, where
from atlpa.attacks.stepwise import Cost
from atlpa.engine import Engine, Precision
from atlpa.field_types import Number, Radius
from atlpa.model_state import Logits, eval_mode, with_generators
from atlpa.randomness import Generators

INERTIA = 0.25
"""The share of the last step that the next one goes on with, 1 − α of the source."""


@dataclass(frozen=True)
class APGDState(State):
    """What Auto-PGD knows of each image.

    Fields:
        adversarial: ``(B, 3, H, W)``, the point that is looked at next.
        targets: ``(B,)``, the class that the image is driven to, if it is.
        iteration: ``(B,)``, how many steps were taken.
        here: ``(B, 3, H, W)``, the point from which the last step was taken.
        best: likewise, the point of the highest loss.
        slope: likewise, the gradient there.
        highest: ``(B,)``, the loss there.
        loss: ``(B,)``, at the last point looked at.
        checked: ``(B,)``, the highest loss as of the last checkpoint.
        rises: ``(B,)``, how many steps since then raised the loss.
        halved: ``(B,)`` bool, whether the step was halved there.
        step: ``(B,)``, its size.
    """

    targets: Tensor
    iteration: Tensor
    here: Tensor
    best: Tensor
    slope: Tensor
    highest: Tensor
    loss: Tensor
    checked: Tensor
    rises: Tensor
    halved: Tensor
    step: Tensor


class APGD(GradientSteps):
    """Projected gradient ascent with inertia, whose steps start at 2ε and are halved where they lead nowhere.

    At checkpoints, first after 22 % of the iterations, an image's step is halved and it goes on from its best point if
    at most a share ρ of its steps since the last checkpoint raised the loss, or if neither was its step halved there
    nor has its best loss risen since. Of a few iterations each is a checkpoint: a step that does not rise is halved.

    An iterate is each image's best point so far: of those that fool the model, or else of all, the one of the highest
    loss. A budget below ``iterations`` is judged on that same run, with its checkpoints.

    Fields:
        epsilon: ε of the ball, in units of the [0, 1] pixel range. Default: the field's.
        iterations: how many steps; trainings take 2 to 5. Default: the source's.
        start: ``uniform`` starts at a random point of the ε-ball, ``zero`` at the image. Default: the source's.
        loss: what is climbed: ``cross_entropy`` with the true label, ``margin`` or ``dlr`` of the logits. Default: the
            first of AutoAttack.
        target: 0 climbs away from the true class; k drives each image to the class of the k-th largest logit that its
            clean image has beside the true one, with ``dlr`` as in AutoAttack. Default: the source's first version.
        rho: ρ, the share of rising steps up to which a step is halved. Default: the source's.
        eot: gradients and losses are those of so many draws of a randomized model, as of ``PGD``.
        engine: what gradients are computed on, as of ``PGD``.
        precision: of gradients and losses, as of ``PGD``.
        norm: of the ball, ``Linf`` or ``L2``. Default: the field's.
    """

    name = "apgd"
    budget = "iterations"
    serves: ClassVar[Mapping[str, str]] = {"eot": "randomized networks"}

    epsilon: Radius = 8 / 255
    iterations: Annotated[int, Field(ge=1)] = 100
    start: Literal["zero", "uniform"] = "uniform"
    loss: Objective = "cross_entropy"
    target: Annotated[int, Field(ge=0)] = 0
    rho: Annotated[Number, Field(ge=0, le=1)] = 0.75
    eot: Annotated[int, Field(ge=1)] = 1
    engine: Engine = "auto"
    precision: Precision = "fp32"
    norm: Norm = "Linf"

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """Each image's best point after each step, from one run; arguments and errors are those of a call."""
        batch = check_batch(images, labels)
        model = self.prepare(model, batch.images)
        state = self._begin(model, batch, generator)
        best, highest, fooled = state.adversarial, state.highest, torch.zeros_like(batch.labels, dtype=torch.bool)
        for iteration in range(self.iterations + 1):
            point = state.adversarial
            if iteration < self.iterations:
                state, fooling = self._advance(model, state, batch, generator)
                loss = state.loss
            else:  # from here no step is taken
                logits = self._logits(model, point, batch, generator)
                fooling, loss = fools(logits, batch.labels), self._loss(logits, state, batch)
            better = torch.where(fooling == fooled, loss > highest, fooling)
            best, highest = where(better, point, best), torch.where(better, loss, highest)
            fooled = fooled | fooling
            if iteration:
                yield best

    def gap(self, state: APGDState) -> Tensor:
        """How far the loss of the best point is below 0, ``(B,)``; margins and DLR are above it where one fools."""
        return -state.highest

    def _begin(self, model: Logits, batch: AttackBatch, generator: Generators) -> APGDState:
        start, count = self._pgd.initial(batch.images, generator), torch.zeros_like(batch.labels)
        targets = batch.labels
        if self.target:
            targets = ranked_targets(self._logits(model, batch.images, batch, generator), batch.labels, self.target)
        lowest = torch.full_like(start[:, 0, 0, 0], -torch.inf)
        step = torch.full_like(lowest, 2 * self.epsilon)
        return APGDState(start, targets, count, start, start, start, lowest, lowest, lowest, count, count > 0, step)

    def _advance(
        self, model: Logits, state: APGDState, batch: AttackBatch, generator: Generators
    ) -> tuple[APGDState, Tensor]:
        point, first = state.adversarial, state.iteration == 0
        aimed = batch._replace(targets=state.targets if self.target else None)
        gradient, logits = self._pgd.climb(model, point, aimed, generator)
        loss = self._loss(logits, state, batch)
        higher = loss > state.highest
        best, slope = where(higher, point, state.best), where(higher, gradient, state.slope)
        highest, checked = loss.maximum(state.highest), torch.where(first, loss, state.checked)
        rises = state.rises + (~first & (loss > state.loss))
        # At a checkpoint, whoever is stuck goes on from its best point with half the step.
        period = self._periods.to(point.device)[state.iteration]
        arrived = period > 0
        stuck = arrived & ((rises <= self.rho * period) | (~state.halved & (highest <= checked)))
        ball = self.ball(batch.images)
        here, direction = where(stuck, best, point), ball.ascent(where(stuck, slope, gradient))
        step = torch.where(stuck, state.step / 2, state.step)
        straight = ball.project(here + step[:, None, None, None] * direction)
        ahead = (1 - INERTIA) * (straight - here) + INERTIA * (here - state.here)
        following = where(first, straight, ball.project(here + ahead))
        return APGDState(
            adversarial=following,
            targets=state.targets,
            iteration=state.iteration + 1,
            here=here,
            best=best,
            slope=slope,
            highest=highest,
            loss=loss,
            checked=torch.where(arrived, highest, checked),
            rises=torch.where(arrived, 0, rises),
            halved=torch.where(arrived, stuck, state.halved | first),
            step=step,
        ), fools(logits, batch.labels)

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
    def _periods(self) -> Tensor:
        """At each iteration, the number of them since the checkpoint before if it is one itself; else 0."""
        periods, last = torch.zeros(self.iterations + 1, dtype=torch.int64), 0
        for checkpoint in sorted(self.checkpoints):
            periods[checkpoint], last = checkpoint - last, checkpoint
        return periods

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
            norm=self.norm,
        )

    def _loss(self, logits: Tensor, state: APGDState, batch: AttackBatch) -> Tensor:
        if self.target:
            return TARGETED[self.loss](logits, batch.labels, state.targets)
        return OBJECTIVES[self.loss](logits, batch.labels)

    def _logits(self, model: Logits, point: Tensor, batch: AttackBatch, generator: Generators) -> Tensor:
        """Those of a point ``(B, C)``, mean over the draws."""
        with torch.inference_mode(False), torch.no_grad(), eval_mode(model), with_generators(model, generator):
            passes = [batch.checked_logits(model(point.clone())) for _ in range(self.eot)]
        return torch.stack(passes).mean(dim=0)

    @property
    def title(self) -> str:
        """As AutoAttack names its parts."""
        return "apgd-t" if self.target else {"cross_entropy": "apgd-ce"}.get(self.loss, f"apgd-{self.loss}")

    @property
    def fewest_classes(self) -> int:
        """Three where the DLR loss compares as many logits, four where it aims; and one for each rank of a target."""
        return max(4 if self.target and self.loss == "dlr" else self._pgd.fewest_classes, self.target + 1)

    def cost(self) -> Cost:
        """A pass each way per step and draw, and a last look forward."""
        return Cost(forwards=(self.iterations + 1) * self.eot, backwards=self.iterations * self.eot)
