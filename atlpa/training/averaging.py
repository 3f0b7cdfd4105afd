"""The moving average of a network's weights, which is what is judged and kept."""

from __future__ import annotations

import copy
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from atlpa.component import Component
from atlpa.field_types import Number


class Averaging(Component):
    """An exponential moving average of the weights: w̄ ← d·w̄ + (1 − d)·w after every step.

    d = min(τ, (1 + k)/(10 + k)) at the k-th step after the warm-up, as Gowal et al. (2020) have it: the average never
    reaches back to the beginning.

    Fields:
        decay: τ; 1/(1 − τ) steps is about how far the average reaches back. Default: that of a well-known code of Gowal
            et al. 2020, and fit for runs of a few thousand steps.
        warmup: the share of the iterations before it begins; until then w̄ = w. Default: that of the same code.
        batchnorm: where BatchNorm's statistics come from: ``copy`` takes the network's, ``estimate`` measures those of
            the average on batches of training, attacked as in training, whenever it is judged. Default: that of the
            same code; it costs nothing.
    """

    decay: Annotated[Number, Field(gt=0, lt=1)] = 0.995
    warmup: Annotated[Number, Field(ge=0, lt=1)] = 0.025
    batchnorm: Literal["copy", "estimate"] = "copy"

    def begins(self, iterations: int) -> int:
        """How many of so many steps the warm-up takes."""
        return int(self.warmup * iterations)

    def decay_at(self, since: int) -> float:
        """d at the k-th step after the warm-up, counted from 0; steps before it are negative."""
        return min(self.decay, (1 + since) / (10 + since)) if since >= 0 else 0.0

    def notes(self, begins: int, iterations: int) -> list[str]:
        """What it means where the average cannot reach back as far as it was asked to.

        Args:
            begins: the step, counted from 0, at which k is 0.
            iterations: of the run.
        """
        reached = self.decay_at(iterations - 1 - begins)
        if reached >= self.decay:
            return []
        return [
            f"training.averaging: decay {self.decay:g} reaches back some {1 / (1 - self.decay):.0f} steps, and the run "
            f"has {iterations}: it comes to {reached:.4g}, an average of the last {1 / (1 - reached):.0f} or so"
        ]


class AveragedModel:
    """A network beside the one in training, whose weights are the average of that one's.

    Args:
        model: the network in training.
        averaging: how it is averaged.
        begins: the step, counted from 0, at which k is 0.

    Fields:
        model: the averaged network, in evaluation mode; it asks for no gradient.
    """

    def __init__(self, model: nn.Module, averaging: Averaging, begins: int) -> None:
        self.averaging, self.begins = averaging, begins
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 0; what is no weight is copied."""
        share = 1 - self.averaging.decay_at(step - self.begins)
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), share)
        for own, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(theirs)
