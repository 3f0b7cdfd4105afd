"""A term that keeps the input gradient's direction the same around each image."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from atlpa.attacks import Cost
from atlpa.defenses.term import Term, Views
from atlpa.engine import at_least_float32
from atlpa.field_types import Number, PixelDistance
from atlpa.model_state import with_generators
from atlpa.randomness import global_draws, rewound, uniform


class GradAlign(Term):
    """Gradient alignment (Andriushchenko & Flammarion 2020): mean of 1 − cos(∇ₓℓ(x), ∇ₓℓ(x + η)), η ~ U(−ε, ε).

    ℓ is the cross-entropy with the true label, x the clean images. Where it is 0, the gradient at the image tells what
    the whole ε-ball is like, so that one step is as good as many: it keeps single-step training from catastrophic
    overfitting. It makes two passes of its own, in float32 and training mode, each a batch for BatchNorm, as in the
    source; a network that draws meets the same draws in both. An image without a gradient counts as aligned.

    Fields:
        weight: λ. Default: that of the source at ε 8/255 on CIFAR-10.
        epsilon: the bound of η, in units of the [0, 1] pixel range; by default ε of the training attack.
    """

    weight: Annotated[Number, Field(ge=0)] = 0.2
    epsilon: PixelDistance | None = None

    @property
    def differentiates_twice(self) -> bool:
        return True

    @property
    def follows_epsilon(self) -> bool:
        return self.epsilon is None

    @property
    def own_cost(self) -> Cost:
        """Two passes forward; two back for the gradients, and two through those."""
        return Cost(2, 4)

    def __call__(self, views: Views, adversarial_fraction: float) -> Tensor:
        del adversarial_fraction
        epsilon = views.epsilon if self.epsilon is None else self.epsilon
        if views.model is None or epsilon is None:
            raise ValueError("grad_align needs views.model, and views.epsilon where it has no epsilon of its own")
        images, draws = views.images.detach(), views.generator
        noisy = images + uniform(images, epsilon, draws)
        with rewound(draws) if draws else nullcontext():
            here = _direction(views.model, images, views)
        there = _direction(views.model, noisy, views)
        known = here.any(dim=1) & there.any(dim=1)
        return torch.where(known, 1 - (here * there).sum(dim=1), 0).mean()


def _direction(model: nn.Module, images: Tensor, views: Views) -> Tensor:
    """Input gradients of the cross-entropy at unit length ``(B, 3HW)``, part of the graph; 0 where there is none."""
    point = images.detach().requires_grad_(True)
    # Only plain attention can be differentiated twice.
    with sdpa_kernel(SDPBackend.MATH), with_generators(model, views.generator), global_draws(views.generator):
        logits = at_least_float32(model(point))
    loss = F.cross_entropy(logits, views.labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, point, create_graph=True)
    gradient = gradient.flatten(start_dim=1)
    length = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    return torch.where(length > 0, gradient / torch.where(length > 0, length, 1), 0)
