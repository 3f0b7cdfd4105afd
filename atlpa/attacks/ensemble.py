"""The strongest judge: an ensemble of attacks, each on what the former left (after AutoAttack, Croce & Hein 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from atlpa.attacks.apgd import APGD
from atlpa.attacks.attack import Attack
from atlpa.attacks.carry_out import carry_out
from atlpa.attacks.fab import FAB
from atlpa.attacks.norms import Norm
from atlpa.attacks.objectives import fools
from atlpa.attacks.patience import Approaching, Patient
from atlpa.attacks.square import Square
from atlpa.attacks.stepwise import Stepwise
from atlpa.attacks.with_precision import WithPrecision
from atlpa.engine import Engine, Precision
from atlpa.field_types import Radius
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits, random_layers, with_generators
from atlpa.randomness import Generators, of_rows

MOST_TARGETS = 9
QUERIES = 5000
SEARCHED = 1 / 10
"""The share of its queries after which Square may give an image up: half of its way is behind it by then."""
DRAWS = 20
FEWER_DRAWS, FEWER_STEPS = 8, 40
"""What a network that draws meets by default: it leaves about as many as 20 and 100 (docs/credibility.md)."""


class Ensemble(WithPrecision, Attack):
    """Auto-PGD on cross-entropy, Auto-PGD and FAB that aim at up to nine classes each, and Square, one after another.

    An image leaves at the first point that fools the model, and whatever felled it is known. A model that draws meets
    Auto-PGD on cross-entropy and on the margin (with AutoAttack's steps: on DLR), with gradients averaged over draws;
    there each image stays to the end of a stage, and stands if the mean of 20 draws says so.

    Fields:
        epsilon: ε of the ball, in units of the [0, 1] pixel range. Default: the field's.
        version: ``standard`` takes all of AutoAttack's steps with every image; ``fast`` gives an image up as soon as it
            is clear that the rest of a stage would not fell it (see ``Patient``), and takes 40 steps of 8 draws where
            the model draws; ``rand`` is AutoAttack's for such a model, 100 steps of 20 draws, which ``standard`` takes
            there too. Default: of honest networks it leaves the images that AutoAttack leaves, in a fifth of its time
            or less (docs/performance.md).
        engine: what gradients are computed on, as of ``PGD``.
        precision: of gradients and queries, as of ``PGD``; whether an image has fallen is asked of the model itself.
        norm: of the ball, ``Linf`` or ``L2``. Default: the field's.

    Examples:
        >>> import torch
        >>> from atlpa import Ensemble, evaluate
        >>> def brightness(images):  # two classes: light, dark
        ...     light = images.mean(dim=(1, 2, 3))
        ...     return torch.stack([light, 1 - light], dim=1)

        >>> images = torch.tensor([0.4, 0.55, 0.9]).view(3, 1, 1, 1).expand(3, 3, 4, 4)
        >>> labels = torch.tensor([0, 0, 0])
        >>> result = evaluate(brightness, images, labels, Ensemble(epsilon=0.1))
        >>> result.robust[0, 0].tolist()  # wrong clean; falls; stands
        [False, False, True]
        >>> result.felled_by["apgd-ce"]  # the first of the four
        (1,)
    """

    name = "ensemble"
    transferable = False

    epsilon: Radius = 8 / 255
    version: Literal["fast", "standard", "rand"] = "fast"
    engine: Engine = "auto"
    precision: Precision = "fp32"
    norm: Norm = "Linf"

    def stages(self, classes: int) -> Sequence[Stepwise]:
        """What is made of how many classes there are: as many targets, and DLR where four can be compared."""
        if self.version == "rand":
            return self._averaged(classes)
        how = self._how
        climb = APGD(self.epsilon, **how)
        ranks = range(1, min(MOST_TARGETS, classes - 1) + 1)
        aimed: Literal["dlr", "margin"] = "dlr" if classes > 3 else "margin"
        aiming: tuple[Approaching, ...] = (
            *(replace(climb, loss=aimed, target=rank) for rank in ranks),
            *(FAB(self.epsilon, target=rank, **how) for rank in ranks),
        )
        search = Square(self.epsilon, QUERIES, **how)
        if self.version == "standard":
            return climb, *aiming, search
        return climb, *(Patient(attack) for attack in aiming), Patient(search, first=SEARCHED)

    @property
    def _how(self) -> dict[str, Any]:
        return {"engine": self.engine, "precision": self.precision, "norm": self.norm}

    def _averaged(self, classes: int) -> tuple[APGD, APGD]:
        """What a model that draws meets; the margin fells as much as DLR, which asks for three classes."""
        if self.version == "fast":
            climb = APGD(self.epsilon, FEWER_STEPS, eot=FEWER_DRAWS, **self._how)
            return climb, replace(climb, loss="margin")
        climb = APGD(self.epsilon, eot=DRAWS, **self._how)
        return climb, replace(climb, loss="dlr" if classes > 2 else "margin")

    def notes(self, budgets: Sequence[int] = ()) -> list[str]:
        """What ``rand`` costs a model that does not draw."""
        del budgets
        same = f"version rand asks {DRAWS} times for each gradient, which a network that does not draw answers alike"
        return [same] if self.version == "rand" else []

    @ieee_float32()
    def perturb(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> Tensor:
        """Where each image fell, or where the last stage ended; a wrong image is left as it is."""
        logits = model(images.clone())
        if random_layers(model):
            return self._drawn(model, images, labels, generator, logits.shape[1])
        standing = torch.nonzero(~fools(logits, labels).cpu()).flatten()
        adversarial, network = images.clone(), None
        for stage in self.stages(logits.shape[1]):
            if not len(standing):
                break
            rows = standing.to(images.device)
            network = network or stage.prepare(model, images)
            found, fallen = carry_out(stage, model, network, images[rows], labels[rows], of_rows(generator, standing))
            adversarial[rows], standing = found, standing[~fallen]
        return adversarial

    def _drawn(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators, classes: int) -> Tensor:
        """Of a model that draws: a stage goes on to its end with each image, which stands if the mean margin says so.

        One that left as soon as the mean of some draws is wrong would stand in half of all others.
        """
        adversarial, standing = images.clone(), torch.arange(len(images))
        for stage in self._averaged(classes):
            if not len(standing):
                break
            rows, draws = standing.to(images.device), of_rows(generator, standing)
            adversarial[rows] = stage(model, images[rows], labels[rows], generator=draws)
            with torch.no_grad(), with_generators(model, draws):
                mean = torch.stack([model(adversarial[rows]) for _ in range(DRAWS)]).mean(dim=0)
            standing = standing[~fools(mean, labels[rows]).cpu()]
        return adversarial
