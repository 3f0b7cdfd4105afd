"""What all checks share: the model under scrutiny, its images, and what a plain PGD leaves standing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from atlpa.attacks import PGD, Attack
from atlpa.data.images import InMemory
from atlpa.evaluation.active_batch import ActiveQueue
from atlpa.evaluation.attack_batches import adversarial_batches
from atlpa.evaluation.attack_result import check_measurable
from atlpa.evaluation.correctness import matches
from atlpa.evaluation.robust_tracker import RobustTracker
from atlpa.model_state import Logits, eval_mode
from atlpa.out_of_memory import fitting, in_parts

BATCH_SIZE = 64
DRAWS = 5  # of a randomized model; the majority counts
ITERATIONS = 40  # of most attacks; the plain one goes on for as many again
NONE_RIGHT = "no image is right"
REPEATABLE = 1e-4  # of the logits' size: what two runs of a deterministic model may differ by


class CheckedModel(nn.Module):
    """A callable as a module, with a gradient of zero where it has none at all."""

    def __init__(self, model: Logits, role: str = "the model") -> None:
        super().__init__()
        self.model, self.role = model, role

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` of images ``(B, 3, H, W)``."""
        # A clone, since a model may work in place.
        logits: Tensor = self.model(images.clone())
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"{self.role} gave {shape} for {len(images)} images; "
                "it must give logits (images, classes) of two classes or more"
            )
        return logits + 0 * images.mean(dim=(1, 2, 3))[:, None]


@dataclass
class CheckContext:
    """An evaluation under scrutiny.

    Fields:
        model: the model, as a module.
        images: ``(N, 3, H, W)``.
        labels: ``(N,)``.
        epsilon: ε of the evaluation.
        reference: an undefended model, if there is one.
        sources: models to attack by transfer.
    """

    model: CheckedModel
    images: Tensor
    labels: Tensor
    epsilon: float
    reference: CheckedModel | None
    sources: Sequence[CheckedModel]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pgd(self) -> PGD:
        """The attack that a plain evaluation would make: from the image itself, in steps of ε/8."""
        return PGD(epsilon=self.epsilon, step=self.epsilon / 8, iterations=ITERATIONS)

    @cached_property
    def outputs(self) -> tuple[Tensor, Tensor]:
        """The logits ``(N, C)`` of the images as they are, twice."""
        first, second = logits(self.model, self.images), logits(self.model, self.images)
        if self.labels.max() >= first.shape[1]:
            raise ValueError(f"label {self.labels.max()} but {first.shape[1]} classes; labels are counted from 0")
        for other in (*self.sources, *([self.reference] if self.reference else [])):
            if (classes := logits(other, self.images[:1]).shape[1]) != first.shape[1]:
                raise ValueError(f"{other.role} has {classes} classes, the model {first.shape[1]}; give the same task")
        return first, second

    @cached_property
    def randomized(self) -> bool:
        """Whether two runs differ."""
        return self.difference > REPEATABLE

    @property
    def difference(self) -> float:
        """By how much two runs differ, against the largest logit (or 1)."""
        first, second = self.outputs
        return ((first - second).abs().max() / first.abs().max().clamp(min=1)).item()

    @cached_property
    def clean(self) -> Tensor:
        """Which images ``(N,)`` are right without an attack."""
        return self.right(self.model, self.images, self.labels)

    def right(self, model: CheckedModel, images: Tensor, labels: Tensor) -> Tensor:
        """Which images ``(B,)`` a model gets right, in most draws if it is the model under scrutiny and draws."""
        if not (model is self.model and self.randomized):
            return matches(logits(model, images), labels)
        votes = sum(matches(logits(model, images), labels).int() for _ in range(DRAWS))
        return 2 * votes > DRAWS  # type: ignore[return-value]

    @cached_property
    def by_iterations(self) -> list[Tensor]:
        """What stands ``(N,)`` after the plain PGD's iterations, and after twice as many."""
        attack = replace(self.pgd, iterations=2 * ITERATIONS)
        return self.standing_at((ITERATIONS, 2 * ITERATIONS), attack, self.clean)

    @property
    def pgd_robust(self) -> Tensor:
        """What plain PGD leaves standing ``(N,)``: the number whose credibility is judged."""
        return self.by_iterations[-1]

    @cached_property
    def worst_case(self) -> Tensor:
        """What stands ``(N,)`` under every attack made so far; which each check that attacks brings up to date."""
        return self.pgd_robust.clone()

    def under(self, attacks: Sequence[Callable[[Tensor], Tensor]], before: Tensor) -> Tensor:
        """What stands ``(N,)`` under other attacks, made one after another, each on what the former left.

        A randomized model would fall by chance sooner or later: it meets the first of them alone, on all images that
        are right, so that what it mends by chance can be counted against what it breaks.

        Args:
            attacks: each takes the images ``(N,)`` to attack, and says which of these stand ``(N,)``.
            before: ``(N,)``, what stands without them.
        """
        if self.randomized:
            return attacks[0](self.clean)
        after = before
        for attack in attacks:
            after = attack(after)
        return after

    def stands(self, attack: Attack, candidates: Tensor, model: CheckedModel | None = None) -> Tensor:
        """Which images ``(N,)`` stand at the attack's end; the arguments are those of ``standing_at``."""
        return self.standing_at((getattr(attack, "iterations", 1),), attack, candidates, model)[0]

    def standing_at(
        self, budgets: Sequence[int], attack: Attack, candidates: Tensor, model: CheckedModel | None = None
    ) -> list[Tensor]:
        """Which of some images stand under an attack at each budget, ``(N,)`` each.

        A deterministic model must be right at every iterate of PGD; a fallen image costs nothing more. A randomized one
        would fall by chance sooner or later: it is judged at the budgets alone, in most draws.

        Args:
            budgets: iterations, ascending; the last is the attack's own number.
            attack: the attack.
            candidates: ``(N,)`` bool, which images are attacked; the others do not stand.
            model: in place of the model under scrutiny.
        """
        check_measurable(attack)
        model, positions = model or self.model, torch.nonzero(candidates).flatten()
        if not len(positions):  # few models take an empty batch
            return [torch.zeros_like(candidates) for _ in budgets]
        randomized = model is self.model and self.randomized
        stages = () if randomized else attack.stages(self.outputs[0].shape[1])
        if stages:
            tracker = RobustTracker(candidates.cpu(), budgets, attack)
            everything = InMemory(self.images, self.labels)
            for number, stage in enumerate(stages):
                standing = torch.nonzero(tracker.robust[-1]).flatten()
                if not len(standing):
                    break
                queue = ActiveQueue(
                    model, model, everything, stage, standing, seed=None, stage=number, batch_size=BATCH_SIZE
                )
                for batch, fallen in queue:
                    tracker.update(batch, fallen, number)
            return list(tracker.robust.to(candidates.device))
        chosen = InMemory(self.images[positions], self.labels[positions])
        result = [torch.zeros_like(candidates) for _ in budgets]
        for row, part, adversarial in adversarial_batches(model, chosen, attack, budgets, seed=None):
            result[row][positions[part]] = self.right(model, adversarial, chosen.labels[part])
        return result

    def correct_on(self, candidates: Tensor, images: Tensor) -> Tensor:
        """Which of some images ``(N,)`` the model still gets right when it is shown others ``(N, 3, H, W)`` instead."""
        stands = torch.zeros_like(candidates)
        stands[candidates] = self.right(self.model, images[candidates], self.labels[candidates])
        return stands


def batches(chosen: Tensor) -> Sequence[Tensor]:
    """The positions of the images chosen ``(N,)``, in batches: none if none is, since few models take an empty one."""
    positions = torch.nonzero(chosen).flatten()
    return positions.split(fitting(BATCH_SIZE)) if len(positions) else ()  # type: ignore[no-untyped-call]


@torch.no_grad()
def logits(model: CheckedModel, images: Tensor) -> Tensor:
    """Logits ``(B, C)`` in evaluation mode; of no image ``(0, 2)``."""
    if not len(images):
        return images.new_zeros(0, 2)
    with eval_mode(model):
        return torch.cat(list(in_parts(len(images), BATCH_SIZE, lambda rows: model(images[rows]))))
