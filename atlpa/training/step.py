"""One training step: Eq. 1 and Eq. 2 of the paper on one screen."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from atlpa.attacks import Attack
from atlpa.defenses import Defense, Views
from atlpa.engine import Precision, at_least_float32, supported_precision
from atlpa.model_state import with_generators
from atlpa.models import record_stages, stage_layers
from atlpa.randomness import global_draws


@dataclass(frozen=True)
class StepResult:
    """What a step leaves for the log: the weighted terms, and the outputs they came from."""

    terms: dict[str, Tensor]
    views: Views


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
) -> StepResult:
    """Attack a batch, then take one step down the defense's objective on it.

    Args:
        model: the network in training.
        defense: which images are trained on, and the terms of the loss.
        attack: approximates the inner maximum of Eq. 1.
        optimizer: over the model's parameters.
        images: ``(B, 3, H, W)`` in [0, 1].
        labels: ``(B,)``.
        generator: of the attack's random start, and of what the network draws in training.
        precision: of the pass that is learned from; weights, losses and the step are float32.
    """
    adversarial = attack(model, images, labels, generator=generator) if defense.needs_adversarial else None

    model.train()
    images = images.detach().requires_grad_(defense.needs_input_gradient)
    # Only plain attention (of denoising blocks) can be differentiated twice.
    plain = sdpa_kernel(SDPBackend.MATH) if defense.needs_input_gradient else nullcontext()
    half = supported_precision(precision, images.device) == "bf16"
    cast = torch.autocast(images.device.type, torch.bfloat16, half)
    with defense.around(model, images if adversarial is None else adversarial, labels):
        with plain, with_generators(model, generator), global_draws(generator), cast:
            views = forward(model, defense, images, adversarial, labels)
        terms = defense.objective(views)
        loss = torch.stack(list(terms.values())).sum()

        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return StepResult(terms, views)


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
    with record_stages(model, defense.needs_stages(tuple(stage_layers(model)))) as stages:
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
