"""One stage of an attack on one batch, whose images leave as they fall."""

from __future__ import annotations

import torch
from torch import Tensor

from atlpa.attacks.objectives import fools
from atlpa.attacks.stepwise import Stepwise
from atlpa.model_state import Logits, with_generators
from atlpa.randomness import Generators, of_rows


def carry_out(
    stage: Stepwise, model: Logits, network: Logits, images: Tensor, labels: Tensor, generator: Generators
) -> tuple[Tensor, Tensor]:
    """Attack until an image fools the model, is given up, or its last iterate is looked at.

    Args:
        stage: what attacks.
        model: judges what half precision cannot.
        network: what the attack asks, as its ``prepare`` makes it of the model.
        images: ``(B, 3, H, W)``, looked at before.
        labels: ``(B,)``.
        generator: of all that is drawn.

    Returns:
        Where each image ended, and which have fallen ``(B,)``, bool on the CPU.
    """
    found, rows = images.clone(), torch.arange(len(images))
    fallen, state = torch.zeros(len(images), dtype=torch.bool), stage.begin(network, images, labels, generator)
    for _ in range(stage.iterations + 1):
        places, draws = rows.to(images.device), of_rows(generator, rows)
        found[places] = state.adversarial
        state, fooled = stage.advance(network, state, images[places], labels[places], draws)
        if not stage.exact and (suspects := torch.nonzero(fooled).flatten()).numel():
            with torch.no_grad(), with_generators(model, of_rows(draws, suspects.cpu())):
                fooled[suspects] = fools(model(found[places[suspects]]), labels[places[suspects]])
        fallen[rows] = fooled.cpu()
        over = fallen[rows] if state.given_up is None else fallen[rows] | state.given_up.cpu()
        state, rows = state[~over], rows[~over]
        if not len(rows):
            break
    return found, fallen
