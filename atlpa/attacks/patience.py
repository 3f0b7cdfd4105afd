"""Giving up on images that an attack will not fell, so that its time goes to those that it may."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from atlpa.attacks.rows import State
from atlpa.attacks.stepwise import Stepwise
from atlpa.model_state import Logits
from atlpa.randomness import Generators

PATIENCE = 2.0
"""How many times the gain of the last doubling of its steps an image may hope for in each doubling left."""
FIRST_LOOK = 1 / 4
"""The share of an attack's steps after which hope is asked about first."""


class Approaching(Stepwise, Protocol):
    """An attack that knows how far it is from its goal."""

    def gap(self, state: Any) -> Tensor:
        """Of each image ``(B,)``, at the best point so far: 0 or less where the goal is reached."""


@dataclass(frozen=True)
class PatientState(State):
    """The attack's own state, and what its gap was.

    Fields:
        adversarial: of the attack's own state.
        own: that state.
        age: ``(B,)``, how many steps were taken.
        before: ``(B,)``, the gap at the last look, half as many steps ago.
        hopeless: ``(B,)`` bool, whether the image is given up.
    """

    own: State
    age: Tensor
    before: Tensor
    hopeless: Tensor

    @property
    def given_up(self) -> Tensor:
        """Those without hope."""
        return self.hopeless


@dataclass(frozen=True)
class Patient:
    """An attack that gives an image up when even ``patience`` times its recent gains would not fell it.

    What an attack gains falls off with its steps: about the same for each doubling of their number, and soon less. So
    each image is looked at when the share ``first`` of all steps is taken, and at each doubling from there. If its gap
    exceeds the gain since half as many steps, times the doublings that are left, times the patience, no more steps are
    spent on it.

    Fields:
        attack: what attacks.
        first: the share of its steps after which an image may be given up for the first time.
        patience: how optimistic that is; infinite: none is given up.
    """

    attack: Approaching
    first: float = FIRST_LOOK
    patience: float = PATIENCE

    @property
    def title(self) -> str:
        """The attack's own."""
        return self.attack.title

    @property
    def iterations(self) -> int:
        """The attack's own."""
        return self.attack.iterations

    @property
    def exact(self) -> bool:
        """The attack's own."""
        return self.attack.exact

    def prepare(self, model: Logits, images: Tensor) -> Logits:
        """As the attack does."""
        return self.attack.prepare(model, images)

    def begin(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators = None) -> PatientState:
        """As the attack does."""
        own = self.attack.begin(model, images, labels, generator)
        age = torch.zeros_like(labels)
        return PatientState(own.adversarial, own, age, torch.full_like(images[:, 0, 0, 0], torch.inf), age > 0)

    def advance(
        self, model: Logits, state: PatientState, images: Tensor, labels: Tensor, generator: Generators = None
    ) -> tuple[PatientState, Tensor]:
        """One step further, a look at those whose turn it is, and which images fool the model now."""
        own, fooled = self.attack.advance(model, state.own, images, labels, generator)
        age, gap = state.age, self.attack.gap(own)
        # Steps taken now count as age: what advance says of the present point is what so many steps have reached.
        look, left = self._looks.to(age.device)[age], self._doublings_left.to(age.device)[age]
        hopeless = (left > 0) & (gap > self.patience * left * (state.before - gap))
        before = torch.where(look, gap, state.before)
        return PatientState(own.adversarial, own, age + 1, before, hopeless), fooled

    @property
    def _turns(self) -> list[int]:
        """The ages at which images are looked at, the first of them only to remember its gap."""
        turn, turns = math.ceil(self.first * self.iterations / 2), []
        while turn < self.iterations:
            turns.append(turn)
            turn *= 2
        return turns

    @property
    def _looks(self) -> Tensor:
        turns = torch.zeros(self.iterations + 1, dtype=torch.bool)
        turns[self._turns] = True
        return turns

    @property
    def _doublings_left(self) -> Tensor:
        """At each look but the first, how often the number of steps can still be doubled; elsewhere 0."""
        doublings = torch.zeros(self.iterations + 1)
        for turn in self._turns[1:]:
            doublings[turn] = math.log2(self.iterations / turn)
        return doublings
