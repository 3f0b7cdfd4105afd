"""How a network is trained: the ``training:`` section of an experiment."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, AdamW, Optimizer

from atlpa.attacks import PGD, AnyAttack
from atlpa.component import Component
from atlpa.defenses import Defense
from atlpa.engine import Precision
from atlpa.errors import UserError
from atlpa.field_types import Number
from atlpa.training.averaging import Averaging
from atlpa.training.collapse import Collapse
from atlpa.training.schedule import Schedule, rising, with_schedule
from atlpa.training.trackers import Trackers

Count = Annotated[int, Field(ge=1)]


class Recipe(Component):
    """How many steps, of what size, against which attack. The defaults are the paper's where it gives a value.

    Fields:
        iterations: number of steps; 0 for a network that is judged as it is. Default: the paper's.
        batch_size: clean images per step, of all processes together; each may be joined by its adversarial counterpart.
            Default: the paper's.
        micro_batch: how many of them each process has in memory at a time, its gradients added up; by default its whole
            part of the batch. BatchNorm takes its statistics of so many.
        sync_batchnorm: whether BatchNorm takes its statistics of what all processes have in memory, and not each of its
            own; by default on GPUs, and only they can.
        optimizer: ``sgd``, or ``adamw`` with decoupled weight decay (Loshchilov & Hutter 2019). Default: DELTA's, whose
            recipe the paper reuses.
        learning_rate: the highest. Default: the paper's.
        schedule: how it moves: a shape, or a ``Schedule``'s fields.
        momentum: of SGD; AdamW's β₁. Default: DELTA's.
        nesterov: whether SGD looks ahead along its momentum.
        weight_decay: how strongly weights are shrunk. Default: that of the L2 baseline in DELTA's code.
        decay_biases: whether that goes for biases and BatchNorm's parameters, all that have one dimension, too.
            Default: torch's.
        clip_norm: the gradient's norm, over all parameters, is cut to this; by default it is not.
        averaging: the moving average of the weights that is judged and kept; by default the network itself is.
        attack: the inner maximization of Eq. 1: any attack by its ``name`` (``pgd`` where it is left out) and fields. A
            defense may change it. Default: the paper's: two steps of 0.125.
        epsilon_schedule: how its ε moves, and with ε its steps; its shape is ``constant`` where none is given.
        select_by: an attack; the network that does best under it on the validation part is kept as ``best.pt`` beside
            the last, and both are judged on the test part. By default the last alone is kept.
        precision: of the pass that is learned from: ``fp32``, or ``bf16`` in convolutions and matrix products, with
            weights, losses and steps in float32. The attack has a precision of its own. Default: what every processor
            has.
        collapse: how one-step adversarial training is watched for its collapse; ``false`` for not at all. By default
            it is wherever the training attack takes a single gradient; training against more seldom collapses.
        trackers: where the log's numbers go too: ``tensorboard``, or ``package.module:tracker`` of your own.
        log_every: steps between two lines of the log. Default: a small file that shows a training go wrong soon.
        validate_every: steps between two looks at the validation part. Default: seldom enough that a look costs little
            beside the steps between two.
        checkpoint_seconds: seconds between two checkpoints; at most this much work can be lost. Default: a minute of
            work is soon made up for.
    """

    iterations: Annotated[int, Field(ge=0)] = 6000
    batch_size: Annotated[int, Field(ge=2, le=2**16)] = 16
    micro_batch: Count | None = None
    sync_batchnorm: bool | None = None
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[Number, Field(gt=0)] = 0.01
    schedule: Schedule = Schedule()
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[Number, Field(ge=0)] = 1e-4
    decay_biases: bool = True
    clip_norm: Annotated[Number, Field(gt=0)] | None = None
    averaging: Averaging | None = None
    attack: AnyAttack = PGD(epsilon=0.25, step=0.125, iterations=2)
    epsilon_schedule: Annotated[Schedule, BeforeValidator(rising)] = Schedule(shape="constant")
    select_by: AnyAttack | None = None
    precision: Precision = "fp32"
    collapse: Collapse | Literal[False] | None = None
    trackers: Trackers = ()
    log_every: Count = 10
    validate_every: Count = 250
    checkpoint_seconds: Annotated[Number, Field(ge=0)] = 60

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, values: Any) -> Any:
        return with_schedule(values)

    @model_validator(mode="after")
    def _must_make_sense(self) -> Recipe:
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise ValueError("nesterov looks along SGD's momentum: it needs optimizer: sgd and a momentum above 0")
        if self.select_by and not self.select_by.bounded:
            raise ValueError(f"select_by: images of {self.select_by.name} leave the ε-ball; take another, such as pgd")
        return self

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
        if defense.differentiates_twice:
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
        return self.learning_rate * self.schedule.at(step, self.iterations)

    @property
    def estimates_batchnorm(self) -> bool:
        """Whether BatchNorm's statistics of an average are measured."""
        return self.averaging is not None and self.averaging.batchnorm == "estimate"

    def make_optimizer(self, model: nn.Module) -> Optimizer:
        """An optimizer of all parameters of a model."""
        whole = list(model.parameters())
        groups: list[dict[str, Any]] = [{"params": whole}]
        if not self.decay_biases:
            groups = [
                {"params": [one for one in whole if one.ndim > 1]},
                {"params": [one for one in whole if one.ndim <= 1], "weight_decay": 0.0},
            ]
        common: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay, "fused": True}
        if self.optimizer == "adamw":
            return AdamW(groups, betas=(self.momentum, 0.999), **common)
        return SGD(groups, momentum=self.momentum, nesterov=self.nesterov, **common)
