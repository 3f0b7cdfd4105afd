"""The fast minimum-norm attack (Pintor et al. 2021): a ball that shrinks where its images fool and grows elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from atlpa.attacks.inputs import AttackBatch, check_batch
from atlpa.attacks.minimum_norm import MinimumNorm, NearestState
from atlpa.attacks.norms import BALLS, L2Ball, Norm
from atlpa.attacks.objectives import fools, margin
from atlpa.attacks.pgd import PGD
from atlpa.attacks.rows import where
from atlpa.attacks.stepwise import Cost
from atlpa.engine import Engine, Precision
from atlpa.field_types import Number, Radius
from atlpa.model_state import Logits
from atlpa.randomness import Generators

LAST_STEP = 0.01
"""The last step, as a share of the first."""
LAST_CHANGE = 0.001
"""γ at the end: by which share the ball still shrinks or grows."""


@dataclass(frozen=True)
class FMNState(NearestState):
    """What the search knows beside the nearest.

    Fields:
        radius: ``(B,)``, of the ball that the next point lies in.
        found: ``(B,)`` bool, whether any point has fooled the model.
        iteration: ``(B,)``, how many steps were taken.
    """

    radius: Tensor
    found: Tensor
    iteration: Tensor


class FMN(MinimumNorm):
    """Climbs the margin within a ball whose radius follows what it finds.

    Where the present point fools the model, the ball shrinks by γ, and never is larger than the nearest such point;
    where it does not, the ball grows by γ; as long as no point has, it is as large as it must be for the linearized
    margin to be 0, and, unlike the source's, by γ larger: a convex margin would be approached from without for ever.
    Steps go along the gradient, by α in L2 length in either norm. γ and α fall along half a cosine.

    Fields:
        epsilon: ε, the farthest that an image may be moved, in units of the [0, 1] pixel range. Default: the smaller of
            the paper's two.
        iterations: how many steps; the source takes up to 1000. Default: the paper's largest budget of PGD.
        step: α at first, a length in L2; at the end it is a hundredth. Default: the source's.
        change: γ at first, the share by which the ball shrinks or grows; at the end it is 0.001. Default: the source's.
        engine: what gradients are computed on, as of ``PGD``.
        precision: of gradients and logits, as of ``PGD``.
        norm: in which the nearest is sought, ``Linf`` or ``L2``. Default: the paper's.
    """

    name = "fmn"
    budget = "iterations"

    epsilon: Radius = 0.25
    iterations: Annotated[int, Field(ge=1)] = 200
    step: Annotated[Number, Field(gt=0)] = 1.0
    change: Annotated[Number, Field(gt=0, lt=1)] = 0.05
    engine: Engine = "auto"
    precision: Precision = "fp32"
    norm: Norm = "Linf"

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """The nearest point so far that fools the model, within ε; until there is one, the present one, cut to ε."""
        batch = check_batch(images, labels)
        model, ball = self.prepare(model, batch.images), self.ball(batch.images)
        state = self._begin(model, batch, generator)
        fooled, found = torch.zeros_like(batch.labels, dtype=torch.bool), state.adversarial
        nearest = state.closest
        for iteration in range(self.iterations + 1):
            shown = state.adversarial
            state, fools_now = self._advance(model, state, batch, generator)
            nearer = torch.where(fools_now & fooled, ball.size(shown - batch.images) < nearest, fools_now | ~fooled)
            found, fooled, nearest = where(nearer, shown, found), fooled | fools_now, state.closest
            if iteration:
                yield found

    def _begin(self, model: Logits, batch: AttackBatch, generator: Generators) -> FMNState:
        del model, generator
        images, none = batch.images, torch.zeros_like(batch.labels)
        farthest = self.ball(images).size(torch.ones_like(images))
        return FMNState(images, images, farthest, torch.zeros_like(farthest), none > 0, none)

    def _advance(
        self, model: Logits, state: FMNState, batch: AttackBatch, generator: Generators
    ) -> tuple[FMNState, Tensor]:
        ball, point = self.ball(batch.images), state.point
        slope, logits = self._pgd.climb(model, point, batch, generator)
        distance, other = ball.size(point - batch.images), fools(logits, batch.labels)
        closest = torch.where(other, distance.minimum(state.closest), state.closest)
        left = (1 + torch.cos(math.pi * state.iteration / self.iterations)).to(slope) / 2  # of both schedules, 1 to 0
        change, step = (first * (last + (1 - last) * left) for first, last in self._schedules)
        steepness = (slope * ball.ascent(slope)).sum(dim=(1, 2, 3)).clamp(min=torch.finfo(slope.dtype).tiny)
        to_boundary = distance - margin(logits, batch.labels) / steepness
        larger = torch.where(state.found, state.radius, to_boundary) * (1 + change)
        radius = torch.where(other, (state.radius * (1 - change)).minimum(closest), larger)
        radius = radius.minimum(ball.size(torch.ones_like(point)))
        ahead = point + step[:, None, None, None] * L2Ball.ascent(slope)
        following = BALLS[self.norm](batch.images, radius).project(ahead)
        inside = ball.project(following.clone())
        state = FMNState(inside, following, closest, radius, state.found | other, state.iteration + 1)
        return state, other & (distance <= self.epsilon)

    @property
    def _schedules(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Of γ and α: the first value, and the last as a share of it."""
        return (self.change, min(1.0, LAST_CHANGE / self.change)), (self.step, LAST_STEP)

    @property
    def _pgd(self) -> PGD:
        """What computes the gradients."""
        how: dict[str, Any] = {"engine": self.engine, "precision": self.precision, "norm": self.norm}
        return PGD(self.epsilon, iterations=self.iterations, loss="margin", **how)

    def cost(self) -> Cost:
        """A pass each way per step, and a last look."""
        return Cost(forwards=self.iterations + 1, backwards=self.iterations + 1)
