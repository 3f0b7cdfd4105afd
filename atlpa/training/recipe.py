"""How a network is trained: the ``training:`` section of an experiment."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD

from atlpa.attacks import PGD, AnyAttack
from atlpa.component import Component, FromList, Number
from atlpa.defenses import Defense
from atlpa.engine import Precision
from atlpa.errors import UserError
from atlpa.training.collapse import Collapse

Count = Annotated[int, Field(ge=1)]


class Recipe(Component):
    """Iteration-based SGD with momentum and step decay. The defaults are the paper's where it gives a value.

    Fields:
        iterations: number of steps.
        batch_size: clean images per step, of all processes together; each may be joined by its adversarial counterpart.
        micro_batch: how many of them each process has in memory at a time, its gradients added up; by default its whole
            part of the batch. BatchNorm takes its statistics of so many.
        sync_batchnorm: whether BatchNorm takes its statistics of what all processes have in memory, and not each of its
            own; by default on GPUs, and only they can.
        learning_rate: of the first steps.
        momentum: of SGD.
        weight_decay: of SGD, on every parameter.
        decay_at: after which shares of the iterations the learning rate is divided by 10.
        attack: the inner maximization of Eq. 1: any attack by its ``name`` (``pgd`` where it is left out) and fields.
            A defense may change it.
        precision: of the pass that is learned from: ``fp32``, or ``bf16`` in convolutions and matrix products, with
            weights, losses and steps in float32. The attack has a precision of its own.
        collapse: how one-step adversarial training is watched for its collapse; ``false`` for not at all. By default
            it is wherever the training attack takes a single gradient; training against more seldom collapses.
        log_every: steps between two lines of the log.
        validate_every: steps between two looks at the validation part.
        checkpoint_seconds: seconds between two checkpoints; at most this much work can be lost.
    """

    iterations: Count = 6000
    batch_size: Annotated[int, Field(ge=2, le=2**16)] = 16
    micro_batch: Count | None = None
    sync_batchnorm: bool | None = None
    learning_rate: Annotated[Number, Field(gt=0)] = 0.01
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[Number, Field(ge=0)] = 1e-4
    decay_at: Annotated[tuple[Annotated[Number, Field(gt=0, lt=1)], ...], FromList] = (2 / 3,)
    attack: AnyAttack = PGD(epsilon=0.25, step=0.125, iterations=2)
    precision: Precision = "fp32"
    collapse: Collapse | Literal[False] | None = None
    log_every: Count = 10
    validate_every: Count = 250
    checkpoint_seconds: Annotated[Number, Field(ge=0)] = 60

    def at_once(self, part: int) -> int:
        """How many of a process's ``part`` of the batch are in memory at a time."""
        return min(self.micro_batch or part, part)

    def check_parts(self, part: int, model: nn.Module | None) -> None:
        """Refuse micro-batches that do not divide a process's part of the batch, or are too small for BatchNorm.

        Args:
            part: how many images of a batch this process has.
            model: whose BatchNorm takes its statistics of what this process has in memory, if it does.

        Raises:
            UserError: the sizes that will do are named.
        """
        few = self.at_once(part)
        if part % few:
            sizes = [size for size in range(2, part + 1) if part % size == 0]
            raise UserError(
                f"training.micro_batch {few} does not divide the {part} images that a process has of a batch; take one "
                f"of {', '.join(map(str, sizes))}"
            )
        if model and few == 1 and any(isinstance(layer, _BatchNorm) for layer in model.modules()):
            raise UserError(
                "BatchNorm cannot take statistics of a single image at a time; take a training.micro_batch of at least "
                "2, a larger training.batch_size or fewer processes"
            )

    def synchronized(self, device: torch.device, defense: Defense) -> bool:
        """Whether processes on such devices share BatchNorm's statistics in training a defense.

        Raises:
            UserError: they are asked to and cannot.
        """
        if defense.needs_input_gradient:
            if self.sync_batchnorm:
                raise UserError(
                    f"training.sync_batchnorm: {defense.name} differentiates twice, which torch cannot through "
                    "synchronized BatchNorm; set it to false"
                )
            return False
        if self.sync_batchnorm and device.type != "cuda":
            raise UserError(f"training.sync_batchnorm: torch synchronizes BatchNorm on CUDA alone, not on {device}")
        return device.type == "cuda" and self.sync_batchnorm is not False

    def smaller(self, part: int) -> str:
        """What to do where a process's part of the batch does not fit into memory."""
        few = self.at_once(part)
        sizes = [size for size in range(2, few) if part % size == 0]
        if not sizes:
            return "a smaller training.batch_size or data.size needs less"
        return f"set training.micro_batch={sizes[-1]}, which takes fewer at a time, and go on"

    def collapse_check(self, defense: Defense) -> Collapse | None:
        """How the training of a defense is watched, if it is."""
        if not defense.needs_adversarial or self.collapse is False:
            return None
        cost = defense.training_attack(self.attack).cost()
        return self.collapse or (Collapse() if cost and cost.backwards == 1 else None)

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        decays = sum(step >= share * self.iterations for share in self.decay_at)
        return float(self.learning_rate * 0.1**decays)

    def optimizer(self, model: nn.Module) -> SGD:
        """SGD over all parameters of a model."""
        return SGD(model.parameters(), self.learning_rate, self.momentum, weight_decay=self.weight_decay, fused=True)
