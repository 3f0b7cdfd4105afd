"""Rivals of plain PGD: attacks on other networks than the model, whose images the model is then shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from atlpa.attacks import APGD, PGD, Attack
from atlpa.attacks.objectives import margin
from atlpa.evaluation.checks.bare_layers import Bare
from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.evaluation.checks.context import ITERATIONS, CheckContext, batches, logits
from atlpa.evaluation.checks.differentiable import Differentiable, Neighbors, own_functions
from atlpa.evaluation.checks.standing import Attempt, Met
from atlpa.evaluation.correctness import matches
from atlpa.model_state import eval_mode

LOOK_EVERY = 4
"""Iterates that the model is shown, of those of an attack on another network."""
DRAWS = 8
"""Neighbors that a gradient is averaged over."""
TARGETS = 3
"""The likeliest wrong classes, which are aimed at."""
PROBED = 3
"""Images that a model is followed with, so that parts of a batch are told from layers that run several times."""
RADIUS = 0.25
"""Of their cube, as a share of ε."""

Loss = Literal["cross_entropy", "margin"]
LOSSES: tuple[Loss, ...] = ("cross_entropy", "margin")


@dataclass(frozen=True)
class Rival:
    """A way past what may hide the model's gradient.

    Fields:
        name: what findings call it.
        network: what is attacked in the model's place.
        attack: how.
    """

    name: str
    network: nn.Module
    attack: Attack

    def attempt(self, context: CheckContext) -> Attempt:
        """The attack, as a check makes it."""
        return self.name, lambda candidates: self.meet(context, candidates)

    def blind(self, context: CheckContext, candidates: Tensor) -> bool:
        """Whether no gradient reaches any of some images ``(N,)`` here either."""
        for rows in batches(candidates):
            with eval_mode(self.network), torch.enable_grad():
                images = context.images[rows].clone().requires_grad_(True)
                loss = margin(self.network(images), context.labels[rows]).sum()
                (slope,) = torch.autograd.grad(loss, images, allow_unused=True) if loss.requires_grad else (None,)
            if slope is not None and bool(slope.any()):
                return False
        return True

    def meet(self, context: CheckContext, candidates: Tensor) -> Met:
        """Which of some images ``(N,)`` the model gets right at every iterate that it is shown.

        A model that draws would fall by chance at one of many iterates: it is shown the last alone.
        """
        left, found = candidates.clone(), context.images.clone()
        for rows in batches(candidates):
            steps = self.attack.iterates(self.network, context.images[rows], context.labels[rows])
            for iteration, adversarial in enumerate(steps, 1):
                last = iteration == self.attack.last_iterate
                if last or (iteration % LOOK_EVERY == 0 and not context.randomized):
                    right = context.right(context.model, adversarial, context.labels[rows])
                    fell = left[rows] & ~right
                    kept = left[rows] if context.randomized else fell
                    found[rows[kept]] = adversarial[kept]
                    left[rows[fell]] = False
                    if not context.randomized and not left[rows].any():
                        break
        return Met(left, found)


def climb(context: CheckContext, loss: Loss = "margin", draws: int = 1, iterations: int = ITERATIONS) -> PGD:
    """Plain PGD on the margin, on a network that no faster copy can be made of."""
    return PGD(context.epsilon, context.epsilon / 8, iterations, loss=loss, eot=draws, engine="reference")


def neighbors(context: CheckContext) -> Iterator[Rival]:
    """Gradients averaged over points near each image; of a model that draws, over draws at the image itself."""
    radius = 0.0 if context.randomized else RADIUS * context.epsilon
    yield Rival("neighbors", Neighbors(context.model, radius), climb(context, draws=DRAWS))


def stand_ins(context: CheckContext) -> Iterator[Rival]:
    """Gradients past rounding, masks and cuts; then also straight through the model's own autograd functions."""
    draws, straight = DRAWS if context.randomized else 1, bool(own_backward_passes(context))
    for loss in reversed(LOSSES):
        attack = climb(context, loss, draws, 2 * ITERATIONS)
        yield Rival(f"stand-ins, {loss}", Differentiable(context.model), attack)
        if straight:
            yield Rival(f"straight through, {loss}", Differentiable(context.model, straight=True), attack)
    if not context.randomized:
        classes = context.outputs[0].shape[1]
        aimed = APGD(context.epsilon, ITERATIONS, loss="dlr" if classes > 3 else "margin", engine="reference")
        for rank in range(1, min(TARGETS, classes - 1) + 1):
            network = Differentiable(context.model, straight=straight)
            yield Rival(f"stand-ins, target {rank}", network, replace(aimed, target=rank))
        twin = Neighbors(Differentiable(context.model, straight=straight), RADIUS * context.epsilon)
        yield Rival("stand-ins near by", twin, climb(context, draws=DRAWS))


def bare(context: CheckContext) -> Iterator[Rival]:
    """What remains without the layers before the first weights, those behind the last, and those that draw, if any;
    with its own gradient, and with stand-ins' should something in between hide it too. What is left is no core of the
    model where it reads most images otherwise."""
    network = Bare(context.model, context.images[:PROBED])
    if network.differs and 2 * (_read(context, network) & context.clean).sum() > context.clean.sum():
        for loss in LOSSES:
            yield Rival(f"bare, {loss}", network, climb(context, loss))
            yield Rival(f"bare with stand-ins, {loss}", Differentiable(network), climb(context, loss))
        if len(network.heads) > 1:
            equal = Bare(context.model, context.images[:PROBED], equal=True)
            yield from (Rival(f"bare, equal, {loss}", equal, climb(context, loss)) for loss in LOSSES)


def _read(context: CheckContext, network: nn.Module) -> Tensor:
    """Which images ``(N,)`` another network reads right."""
    return matches(logits(CheckedModel(network), context.images), context.labels)


def own_backward_passes(context: CheckContext) -> list[str]:
    """The names of the model's own autograd functions, whose backward passes need not belong to what they compute."""
    with eval_mode(context.model), torch.enable_grad():
        found = context.model(context.images[:1].clone().requires_grad_(True))
    return [type(node).__name__.removesuffix("Backward") for node in own_functions(found)]


RIVALS: tuple[Callable[[CheckContext], Iterator[Rival]], ...] = (neighbors, stand_ins, bare)
"""All of them, each as many attacks as suit the model."""
