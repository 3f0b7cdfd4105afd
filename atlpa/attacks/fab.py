"""The fast adaptive boundary attack (Croce & Hein 2020, FAB): the nearest image that is another class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from atlpa.attacks.inputs import AttackBatch, check_batch
from atlpa.attacks.minimum_norm import MinimumNorm, NearestState
from atlpa.attacks.norms import BALLS, Norm
from atlpa.attacks.objectives import fools, ranked_targets, targeted_margin
from atlpa.attacks.pgd import PGD
from atlpa.attacks.rows import where
from atlpa.attacks.stepwise import Cost
from atlpa.engine import Engine, Precision
from atlpa.field_types import Radius
from atlpa.model_state import Logits, eval_mode, with_generators
from atlpa.randomness import Generators

OVERSHOOT = 1.05
"""η: how far beyond the boundary's estimate a step goes."""
BACK = 0.9
"""β: what is left of the distance to the image after a success."""
TOWARDS_THE_IMAGE = 0.1
"""α_max: the largest share of the step that starts from the image itself."""
_NEWTON_STEPS = 20


@dataclass(frozen=True)
class FABState(NearestState):
    """Where the search for the boundary has come to.

    Fields:
        targets: ``(B,)``, the class on the other side of the boundary.
    """

    targets: Tensor


class FAB(MinimumNorm):
    """Steps to where the linearized margin to one class is 0, and closer to the image whenever it is fooled.

    A step projects the point and the image itself onto the hyperplane that the gradient of z_t − z_y gives, in its norm
    and within [0, 1], goes beyond it by η and mixes the two. Unlike the authors' code it linearizes at the point that
    fools rather than, once more, at the one that is moved back, which saves a pass. An image counts as fooled within ε
    alone.

    Fields:
        epsilon: ε of the ball, in units of the [0, 1] pixel range. Default: the field's.
        iterations: how many steps. Default: the source's.
        target: the rank of the class t that is approached: 1 has the largest logit beside the true class's. Default:
            the class that is most often the nearest.
        engine: what gradients are computed on, as of ``PGD``.
        precision: of gradients and logits, as of ``PGD``.
        norm: in which the nearest is sought, ``Linf`` or ``L2``. Default: the field's.
    """

    name = "fab"
    budget = "iterations"

    epsilon: Radius = 8 / 255
    iterations: Annotated[int, Field(ge=1)] = 100
    target: Annotated[int, Field(ge=1)] = 1
    engine: Engine = "auto"
    precision: Precision = "fp32"
    norm: Norm = "Linf"

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """What fools the model within ε; until it does, the present point, cut to the ε-ball."""
        batch = check_batch(images, labels)
        model = self.prepare(model, batch.images)
        state = self._begin(model, batch, generator)
        fooled, found = torch.zeros_like(batch.labels, dtype=torch.bool), state.adversarial
        for iteration in range(self.iterations + 1):
            shown = state.adversarial
            state, fools_now = self._advance(model, state, batch, generator)
            found, fooled = where(fooled, found, shown), fooled | fools_now
            if iteration:
                yield found

    @torch.no_grad()
    def _begin(self, model: Logits, batch: AttackBatch, generator: Generators) -> FABState:
        with torch.inference_mode(False), eval_mode(model), with_generators(model, generator):
            logits = batch.checked_logits(model(batch.images.clone()))
        farthest = self.ball(batch.images).size(torch.ones_like(batch.images))
        return FABState(batch.images, batch.images, farthest, ranked_targets(logits, batch.labels, self.target))

    def _advance(
        self, model: Logits, state: FABState, batch: AttackBatch, generator: Generators
    ) -> tuple[FABState, Tensor]:
        point, images, ball = state.point, batch.images, self.ball(batch.images)
        slope, logits = self._pgd.climb(model, point, batch._replace(targets=state.targets), generator)
        ahead, other = targeted_margin(logits, batch.labels, state.targets), fools(logits, batch.labels)
        distance = ball.size(point - images)
        closest = torch.where(other, distance.minimum(state.closest), state.closest)
        level = (slope * point).sum(dim=(1, 2, 3)) - ahead  # slope · z = level is the boundary, as it looks from here
        start = where(other, images + BACK * (point - images), point)
        here, there = (to_hyperplane(place, slope, level, self.norm) for place in (start, images))
        near, far = (ball.size(change)[:, None, None, None] for change in (here, there))
        share = (near / (near + far).clamp(min=1e-8)).clamp(max=TOWARDS_THE_IMAGE)
        following = (1 - share) * (start + OVERSHOOT * here) + share * (images + OVERSHOOT * there)
        following = following.clamp(0, 1)
        inside = ball.project(following.clone())
        return FABState(inside, following, closest, state.targets), other & (distance <= self.epsilon)

    @property
    def _pgd(self) -> PGD:
        """What computes the gradients."""
        how: dict[str, Any] = {"engine": self.engine, "precision": self.precision, "norm": self.norm}
        return PGD(self.epsilon, iterations=self.iterations, loss="margin", **how)

    @property
    def title(self) -> str:
        """As AutoAttack names its parts."""
        return "fab-t"

    @property
    def fewest_classes(self) -> int:
        """One more than the rank of the class that is approached."""
        return self.target + 1

    def cost(self) -> Cost:
        """A pass each way per step, and two looks."""
        return Cost(forwards=self.iterations + 2, backwards=self.iterations + 1)


def to_hyperplane(points: Tensor, slope: Tensor, level: Tensor, norm: Norm = "Linf") -> Tensor:
    """The change of smallest norm that takes each point onto its hyperplane slope · z = level within [0, 1].

    All pixels move by r times the steepest way (the slope's sign, in L2 the slope itself over its length), or to their
    bounds if these are nearer. What such a move adds to slope · z is concave in r, so that Newton's steps from 0 rise
    to the r wanted and end there. A hyperplane beyond the cube is approached as far as it goes.

    Args:
        points: ``(B, 3, H, W)`` in [0, 1].
        slope: likewise, any numbers.
        level: ``(B,)``.
        norm: of the change.
    """
    missing = level - (slope * points).sum(dim=(1, 2, 3))
    way = BALLS[norm].ascent(slope) * missing.sign()[:, None, None, None]
    room = torch.where(way > 0, 1 - points, points)
    weight, speed, radius = slope.abs(), way.abs(), torch.zeros_like(missing)
    for _ in range(_NEWTON_STEPS):
        moved = room.minimum(radius[:, None, None, None] * speed)
        gained = (weight * moved).sum(dim=(1, 2, 3))
        rate = (weight * speed * (room > moved)).sum(dim=(1, 2, 3))
        before = radius
        radius = radius + torch.where(rate > 0, (missing.abs() - gained) / rate.clamp(min=1e-30), 0).clamp(min=0)
        if torch.allclose(radius, before, rtol=1e-6, atol=0):  # after two or three of them
            break
    return way.sign() * room.minimum(radius[:, None, None, None] * speed)
