"""Adversarial weight perturbation (Wu et al. 2020): a step learns where the weights are at their worst nearby."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from atlpa.component import Component
from atlpa.field_types import Number
from atlpa.randomness import rewound


class WeightPerturbation(Component):
    r"""Moves each weight one step up the loss for as long as a step learns: :math:`v = γ \|w\| g / \|g\|`.

    g is the gradient of the step's own objective on the whole batch. Weights are the parameters of more than one
    dimension with ``weight`` in their name: no bias, no BatchNorm, nothing frozen. The source begins some trainings
    without it to save time; here every step has it.

    Fields:
        gamma: γ, the length of a weight's perturbation over its own, both as of one long vector. The source's code has
            0.005 beside TRADES and 0.01 beside plain adversarial training. Default: the milder of these.
    """

    gamma: Annotated[Number, Field(gt=0)] = 5e-3

    @contextmanager
    def perturbed(
        self, network: nn.Module, learn: Callable[[], object], generators: Sequence[torch.Generator] = ()
    ) -> Iterator[None]:
        """Let the weights be w + v, and afterwards what they were, bit for bit, whatever happens.

        Args:
            network: whose weights, in training mode; its buffers (BatchNorm's statistics) do not see the pass that v
                takes.
            learn: takes that pass: it leaves the gradients of the objective in ``.grad``.
            generators: of what it draws. They are put back, so that what is learned from meets the same draws.
        """
        buffers = [buffer.clone() for buffer in network.buffers()]
        try:
            with rewound(generators):
                learn()
        finally:
            for buffer, before in zip(network.buffers(), buffers, strict=True):
                buffer.copy_(before)
        moved = []
        try:
            for name, weight in network.named_parameters():
                gradient = weight.grad
                if "weight" in name and weight.ndim > 1 and weight.requires_grad and gradient is not None:
                    moved.append((weight, weight.detach().clone()))
                    # A gradient of 0 has no direction; over its length it is 0 here, not inf · 0.
                    direction = torch.nan_to_num(gradient / gradient.norm())
                    weight.detach().addcmul_(direction, self.gamma * weight.detach().norm())
            yield
        finally:
            for weight, before in moved:
                weight.detach().copy_(before)
