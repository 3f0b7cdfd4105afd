"""How a network is trained: the ``training:`` section of an experiment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn
from torch.optim import SGD

from atlpa.attacks import PGD, AnyAttack
from atlpa.component import Component, FromList, Number
from atlpa.engine import Precision

Count = Annotated[int, Field(ge=1)]


class Recipe(Component):
    """Iteration-based SGD with momentum and step decay. The defaults are the paper's where it gives a value.

    Fields:
        iterations: number of steps.
        batch_size: clean images per step; each may be joined by its adversarial counterpart.
        learning_rate: of the first steps.
        momentum: of SGD.
        weight_decay: of SGD, on every parameter.
        decay_at: after which shares of the iterations the learning rate is divided by 10.
        attack: the inner maximization of Eq. 1: any attack by its ``name`` (``pgd`` where it is left out) and fields.
            A defense may change it.
        precision: of the pass that is learned from: ``fp32``, or ``bf16`` in convolutions and matrix products, with
            weights, losses and steps in float32. The attack has a precision of its own.
        log_every: steps between two lines of the log.
        validate_every: steps between two looks at the validation part.
        checkpoint_seconds: seconds between two checkpoints; at most this much work can be lost.
    """

    iterations: Count = 6000
    batch_size: Annotated[int, Field(ge=2, le=2**16)] = 16
    learning_rate: Annotated[Number, Field(gt=0)] = 0.01
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[Number, Field(ge=0)] = 1e-4
    decay_at: Annotated[tuple[Annotated[Number, Field(gt=0, lt=1)], ...], FromList] = (2 / 3,)
    attack: AnyAttack = PGD(epsilon=0.25, step=0.125, iterations=2)
    precision: Precision = "fp32"
    log_every: Count = 10
    validate_every: Count = 250
    checkpoint_seconds: Annotated[Number, Field(ge=0)] = 60

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        decays = sum(step >= share * self.iterations for share in self.decay_at)
        return float(self.learning_rate * 0.1**decays)

    def optimizer(self, model: nn.Module) -> SGD:
        """SGD over all parameters of a model."""
        return SGD(model.parameters(), self.learning_rate, self.momentum, weight_decay=self.weight_decay, fused=True)
