"""AutoAttack (Croce & Hein 2020), the field's standard ensemble, through the kept package ``pyautoattack``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from atlpa.attacks.inputs import AttackBatch
from atlpa.attacks.once import Once
from atlpa.component import PixelDistance
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits, eval_mode, random_layers
from atlpa.randomness import Generators

FEWEST_CLASSES = 4
MOST_TARGETS = 9


class AutoAttack(Once, kw_only=False):
    """APGD on cross-entropy, targeted APGD and FAB on nine classes each, and Square, each on what the former left.

    A randomized model meets its own version of the ensemble: APGD on cross-entropy and DLR with gradients averaged over
    20 draws. An image that is wrong clean is left as it is.

    Fields:
        epsilon: ε of the L∞ ball, in units of the [0, 1] pixel range.

    Raises:
        ImportError: when it attacks and ``pyautoattack`` is not installed.
        ValueError: likewise, if the model has fewer than four classes.
    """

    epsilon: PixelDistance = 8 / 255

    def _attacked(self, model: Logits, batch: AttackBatch, generator: Generators) -> Tensor:
        from pyautoattack import AutoAttack as Ensemble

        images = batch.images
        module = model if isinstance(model, nn.Module) else _AsModule(model)
        first = generator if isinstance(generator, torch.Generator) or generator is None else generator[0]
        seed = first.initial_seed() % 2**31 if first else 0
        # The ensemble seeds torch's global generators, which are nobody's to change.
        with ieee_float32(), torch.random.fork_rng(), eval_mode(model), torch.enable_grad():
            with torch.no_grad():
                classes = batch.checked_logits(module(images[:1])).shape[1]
            if classes < FEWEST_CLASSES:
                raise ValueError(f"{classes} classes; AutoAttack needs at least {FEWEST_CLASSES}")
            version = "rand" if random_layers(model) else "standard"
            ensemble = Ensemble(module, eps=self.epsilon, seed=seed, device=images.device, version=version)
            for attack in (ensemble.apgd_targeted, ensemble.fab):
                attack.n_target_classes = min(MOST_TARGETS, classes - 1)
            found: Tensor
            found, _ = ensemble.run_standard_evaluation(images.clone(), batch.labels.clone(), batch_size=len(images))
        return found.detach().clamp(images - self.epsilon, images + self.epsilon).clamp(0, 1)


class _AsModule(nn.Module):
    """A callable as the ensemble wants it."""

    def __init__(self, logits: Logits) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images)
