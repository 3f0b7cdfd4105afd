"""AutoAttack (Croce & Hein 2020), the field's standard ensemble, through the kept package ``pyautoattack``."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import Tensor

from atlpa.attacks.attack import Attack
from atlpa.attacks.foreign import drawing_alike, seed_of, seeded
from atlpa.attacks.foreign_packages import as_module
from atlpa.attacks.inputs import AttackBatch
from atlpa.attacks.norms import Norm
from atlpa.field_types import Radius
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits, random_layers
from atlpa.randomness import Generators

MOST_TARGETS = 9


class AutoAttack(Attack):
    """APGD on cross-entropy, targeted APGD and FAB on nine classes each, and Square, each on what the former left.

    A randomized model meets its own version of the ensemble: APGD on cross-entropy and DLR with gradients averaged over
    20 draws. An image that is wrong clean is left as it is.

    Fields:
        epsilon: ε of the ball, in units of the [0, 1] pixel range. Default: the field's.
        norm: of the ball, ``Linf`` or ``L2``. Default: the field's.

    Raises:
        ImportError: when it attacks and ``pyautoattack`` is not installed.
        ValueError: likewise, if the model has fewer than four classes.
    """

    name = "autoattack"
    transferable = False

    epsilon: Radius = 8 / 255
    norm: Norm = "Linf"

    @property
    def fewest_classes(self) -> int:
        """Four: its DLR loss compares three logits with that of a target."""
        return 4

    @ieee_float32()
    def perturb(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> Tensor:
        """What the ensemble leaves."""
        from pyautoattack import AutoAttack as Ensemble

        module, seed = as_module(model, images.device), seed_of(generator)
        with torch.no_grad(), drawing_alike(module, images.device, seed):
            batch = AttackBatch(images, labels, int(labels.max()))
            classes = batch.checked_logits(module(images[:1])).shape[1]
        if classes < self.fewest_classes:
            raise ValueError(f"{classes} classes; AutoAttack needs at least {self.fewest_classes}")
        version = "rand" if random_layers(model) else "standard"
        with (
            drawing_alike(module, images.device, seed),
            seeded(seed),
        ):  # as it does torch's generators, which are nobody's to change
            how: dict[str, Any] = {"norm": self.norm, "eps": self.epsilon, "seed": seed, "version": version}
            ensemble = Ensemble(module, **how, device=images.device)
            for attack in (ensemble.apgd_targeted, ensemble.fab):
                attack.n_target_classes = min(MOST_TARGETS, classes - 1)
            found: Tensor
            found, _ = ensemble.run_standard_evaluation(images.clone(), labels.clone(), batch_size=len(images))
        return self.ball(images).project(found)

    @classmethod
    def missing(cls) -> str | None:
        """Where its package is not installed."""
        if importlib.util.find_spec("pyautoattack"):
            return None
        return "AutoAttack needs the package pyautoattack; pip install 'atlpa[attacks]'"
