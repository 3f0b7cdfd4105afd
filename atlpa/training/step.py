"""One training step: Eq. 1 and Eq. 2 of the paper on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from atlpa.attacks import Attack
from atlpa.attacks.inputs import dominant_class
from atlpa.defenses import Defense, View, Views
from atlpa.engine import Precision, SmallMaps, at_least_float32, supported_precision
from atlpa.model_state import with_generators
from atlpa.models import record_stages, stage_layers
from atlpa.processes import Shared, unwrapped
from atlpa.randomness import BatchPart, global_draws


@dataclass(frozen=True)
class StepResult:
    """What a step leaves for the log, of the images that this process saw.

    Fields:
        terms: the weighted terms, means over the images; their sum is the loss.
        accuracy: the share of the images that were right in the pass that was learned from, of each view.
    """

    terms: dict[str, Tensor]
    accuracy: dict[View, Tensor]


@dataclass(frozen=True)
class Part:
    """Images that pass at a time, of a batch, with their counterparts under an attack of ε and what draws for them.

    ``risen`` is how far that ε has come on its schedule.
    """

    images: Tensor
    adversarial: Tensor | None
    labels: Tensor
    generator: torch.Generator | None
    epsilon: float
    risen: float


def training_step(
    model: nn.Module,
    defense: Defense,
    attack: Attack,
    optimizer: Optimizer,
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator | None = None,
    *,
    precision: Precision = "fp32",
    micro_batch: int | None = None,
    clip_norm: float | None = None,
    risen: float = 1.0,
) -> StepResult:
    """Attack a batch, then take one step down the defense's objective on it.

    Args:
        model: the network in training, as it is or in torch's ``DistributedDataParallel``.
        defense: which images are trained on, and the terms of the loss.
        attack: approximates the inner maximum of Eq. 1.
        optimizer: over the model's parameters.
        images: ``(B, 3, H, W)`` in [0, 1].
        labels: ``(B,)``, or shares of the classes ``(B, C)``, of which the largest counts as right.
        generator: of the attack's random start, and of what the network draws in training.
        precision: of the pass that is learned from; weights, losses and the step are float32.
        micro_batch: how many images, which divide B, are in memory at a time; by default all. Gradients are those of
            the whole batch where the network treats each image by itself, as with BatchNorm in evaluation mode.
        clip_norm: what the gradient's norm, over all parameters, is cut to.
        risen: how far the attack's ε has come on its schedule, as a share of its peak.

    Raises:
        Shared: some parameter of a ``DistributedDataParallel`` has no gradient, for which its processes would wait.
    """
    network, size = unwrapped(model), micro_batch or len(labels)
    parts = []
    for first in range(0, len(labels), size):
        few, classes = images[first : first + size].detach(), labels[first : first + size]
        draws = BatchPart.taken(generator, range(first, first + size), len(labels))
        adversarial = attack(network, few, classes, generator=draws) if defense.needs_adversarial else None
        parts.append(Part(few, adversarial, classes, draws, attack.epsilon, risen))
    model.train()

    def learn() -> list[StepResult]:
        """Leave the gradients of the objective on the batch in ``.grad``."""
        optimizer.zero_grad(set_to_none=True)
        share = size / len(labels)
        results = [accumulate(model, defense, part, precision, share, last=part is parts[-1]) for part in parts]
        all_must_learn(model)
        return results

    drawn_from = [part.generator for part in parts if part.generator]
    with defense.awp.perturbed(network, learn, drawn_from) if defense.awp else nullcontext():
        results = learn()
    if clip_norm:
        clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return mean(results)


def accumulate(
    model: nn.Module, defense: Defense, part: Part, precision: Precision, share: float, *, last: bool
) -> StepResult:
    """Add the gradient of the objective on a part of the batch, times its share, to ``.grad``; the last one is sent."""
    network, generator = unwrapped(model), part.generator
    images = part.images.detach().requires_grad_(defense.needs_input_gradient)
    # Only plain attention (of denoising blocks) can be differentiated twice.
    plain = sdpa_kernel(SDPBackend.MATH) if defense.needs_input_gradient else nullcontext()
    half = supported_precision(precision, images.device) == "bf16"
    cast = torch.autocast(images.device.type, torch.bfloat16, half)
    small_maps = SmallMaps() if images.device.type == "cpu" else nullcontext()
    with model.no_sync() if isinstance(model, DistributedDataParallel) and not last else nullcontext():
        with plain, with_generators(network, generator), global_draws(generator), small_maps:
            with cast:
                views = forward(model, defense, images, part.adversarial, part.labels)
            passes = replace(views, model=network, generator=generator, epsilon=part.epsilon, risen=part.risen)
            terms = defense.objective(passes)
        loss = torch.stack(list(terms.values())).sum()
        (share * loss).backward()  # type: ignore[no-untyped-call]
    logits: dict[View, Tensor | None] = {"clean": views.clean, "adversarial": views.adversarial}
    right_class = dominant_class(part.labels)
    right = {
        view: (given.argmax(dim=1) == right_class).float().mean() for view, given in logits.items() if given is not None
    }
    return StepResult({name: term.detach() for name, term in terms.items()}, right)


def mean(results: Sequence[StepResult]) -> StepResult:
    """What the equal parts of a batch left, as what the batch did."""

    def of_each(values: Sequence[Mapping[Any, Tensor]]) -> dict[Any, Tensor]:
        return {name: torch.stack([value[name] for value in values]).mean() for name in values[0]}

    return StepResult(of_each([one.terms for one in results]), of_each([one.accuracy for one in results]))


def forward(model: nn.Module, defense: Defense, images: Tensor, adversarial: Tensor | None, labels: Tensor) -> Views:
    """One forward pass over both views joined, so that BatchNorm sees them as one batch (as in ALP's own code).

    Args:
        model: the network.
        defense: says whether the clean view is wanted, and which stages.
        images: ``(B, 3, H, W)``, the clean view.
        adversarial: their adversarial counterparts, if that view is wanted.
        labels: ``(B,)``.
    """
    size, clean = len(labels), defense.needs_clean
    network = unwrapped(model)
    with record_stages(network, defense.needs_stages(tuple(stage_layers(network)))) as stages:
        joined = torch.cat([view for view in (images if clean else None, adversarial) if view is not None])
        logits = at_least_float32(model(joined))
    # Parts of a split share one gradient; slices would each fill one of full size with zeros.
    parts = {name: torch.split(stage, size) for name, stage in stages.items()}
    return Views(
        labels=labels,
        images=images,
        clean=logits[:size] if clean else None,
        adversarial=None if adversarial is None else logits[-size:],
        clean_stages={name: part[0] for name, part in parts.items()} if clean else None,
        adversarial_stages=None if adversarial is None else {name: part[-1] for name, part in parts.items()},
    )


def all_must_learn(model: nn.Module) -> None:
    """Refuse what torch's processes would wait for in their next pass, each for the gradients of all."""
    if isinstance(model, DistributedDataParallel):
        idle = [name for name, value in model.module.named_parameters() if value.requires_grad and value.grad is None]
        if idle:
            raise Shared(f"no term depends on {idle[0]}; train in one process, or freeze it")
