"""What all checks share: the model under scrutiny, its images, and what attacks leave standing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from atlpa.attacks import PGD, Attack, Ensemble, Square
from atlpa.attacks.objectives import cross_entropy, margin
from atlpa.data.images import InMemory
from atlpa.evaluation.attack_batches import adversarial_batches
from atlpa.evaluation.attack_result import check_measurable
from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.evaluation.checks.standing import Attempt, DrawnStanding, Met, Standing
from atlpa.evaluation.correctness import matches
from atlpa.evaluation.robust_tracker import RobustTracker
from atlpa.evaluation.white_box import follow, iterates_of
from atlpa.model_state import eval_mode
from atlpa.out_of_memory import fitting, in_parts

BATCH_SIZE = 64
ANSWERS = 32  # of a randomized model in the end; their mean counts
DRAWS = 5  # likewise, after each attack; the majority counts
ITERATIONS = 40  # of most attacks; the plain one goes on for as many again
NONE_RIGHT = "no image is right"
REPEATABLE = 1e-4  # of the logits' size: what two runs of a deterministic model may differ by


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
        tell: told how far an attack is, such as ``ensemble 43 %``.
    """

    model: CheckedModel
    images: Tensor
    labels: Tensor
    epsilon: float
    reference: CheckedModel | None
    sources: Sequence[CheckedModel]
    tell: Callable[[str], object] = lambda _: None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pgd(self) -> PGD:
        """What a plain evaluation would make: PGD on the cross-entropy, from the image itself, in steps of ε/8."""
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

    @property
    def attackable(self) -> Tensor:
        """Which images ``(N,)`` are attacked at all: those that are right, and of a model that draws, which gets others
        right now and then, every one."""
        return torch.ones_like(self.clean) if self.randomized else self.clean

    def right(self, model: CheckedModel, images: Tensor, labels: Tensor) -> Tensor:
        """Which images ``(B,)`` a model gets right, in most draws if it is the model under scrutiny and draws."""
        if not (model is self.model and self.randomized):
            return matches(logits(model, images), labels)
        votes = sum(matches(logits(model, images), labels).int() for _ in range(DRAWS))
        return 2 * votes > DRAWS  # type: ignore[return-value]

    @cached_property
    def no_gradient(self) -> Tensor:
        """Which of the images that are right have no gradient in any pixel, ``(N,)``."""
        return self.clean & ~self._has_slope(cross_entropy)

    def _has_slope(self, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """For which of the images that are right a loss has a gradient in some pixel, ``(N,)``."""
        found = torch.zeros_like(self.clean)
        for rows in batches(self.clean):
            with eval_mode(self.model), torch.enable_grad():
                images = self.images[rows].clone().requires_grad_(True)
                (gradient,) = torch.autograd.grad(loss(self.model(images), self.labels[rows]).sum(), images)
            found[rows] = ((gradient != 0) & torch.isfinite(gradient)).flatten(1).any(dim=1)
        return found

    @cached_property
    def _standing(self) -> Standing:
        return (DrawnStanding if self.randomized else Standing).clean(self.clean, self.images)

    @cached_property
    def by_iterations(self) -> Sequence[Tensor]:
        """What stands ``(N,)`` after the plain PGD's iterations, and after twice as many."""
        attack = replace(self.pgd, iterations=2 * ITERATIONS)
        met = self.meet(attack, self.attackable, budgets=(ITERATIONS, 2 * ITERATIONS))
        self._standing.note(attack.name, met, self.clean)
        return [self.clean & stands for stands in met.at]

    @property
    def standing(self) -> Standing:
        """What stands under plain PGD and every attack made so far: the number that is judged."""
        _ = self.by_iterations
        return self._standing

    @property
    def settled(self) -> Standing:
        """The same in the end: of a model that draws, as fresh draws say."""
        standing = self.standing
        if isinstance(standing, DrawnStanding):
            standing.settle(self.answers(standing.adversarial), self.clean)
        return standing

    def answers(self, images: Tensor) -> list[Tensor]:
        """Which of some images made of its own a model that draws gets right, ``(N,)`` for each of many draws."""
        return [matches(logits(self.model, images), self.labels) for _ in range(ANSWERS)]

    @property
    def pgd_robust(self) -> Tensor:
        """What plain PGD leaves standing ``(N,)``."""
        return self.by_iterations[-1]

    @property
    def strongest(self) -> Attack:
        """The ensemble; of a model without any gradient, as far as its images show, Square alone."""
        saturated = self.clean.any() and bool((self.no_gradient == self.clean).all())
        return Square(self.epsilon) if saturated and not self._has_slope(margin).any() else Ensemble(self.epsilon)

    @cached_property
    def by_ensemble(self) -> Met:
        """What comes of the strongest attack on what plain PGD left, of a model that does not draw."""
        met = self.meet(self.strongest, self.pgd_robust)
        self._standing.note(self.strongest.name, met, self.pgd_robust)
        return met

    def attempt(self, attack: Attack) -> Attempt:
        """An attack of the package's on the model under scrutiny."""
        return attack.name, lambda candidates: self.meet(attack, candidates)

    def under(self, attempts: Sequence[Attempt], before: Tensor) -> Tensor:
        """What stands ``(N,)`` under other attacks, made one after another, each on what the former left.

        A randomized model would fall by chance sooner or later: it meets each on all images, so that what it mends by
        chance can be counted against what it breaks. All are noted, and the first alone says what stands here, since
        the strongest of several would be the luckiest.

        Args:
            attempts: the attacks.
            before: ``(N,)``, what stands without them.
        """
        for number, (name, attack) in enumerate(attempts):
            attacked = self.attackable if self.randomized else before
            met = attack(attacked)
            self._standing.note(name, met, self.clean & attacked)
            if number == 0 or not self.randomized:
                before = self.clean & met.stands
        return before

    def meet(
        self,
        attack: Attack,
        candidates: Tensor,
        model: CheckedModel | None = None,
        budgets: Sequence[int] = (),
    ) -> Met:
        """Attack some images: which of them stand, at each budget if there are several.

        A deterministic model must be right at every iterate of PGD; a fallen image costs nothing more. A randomized one
        would fall by chance sooner or later: it is judged at the budgets alone, in most draws.

        Args:
            attack: the attack.
            candidates: ``(N,)`` bool, which images are attacked; the others do not stand.
            model: in place of the model under scrutiny.
            budgets: iterations, ascending; the last is the attack's own number, which is the only one by default.
        """
        check_measurable(attack)
        budgets = budgets or (getattr(attack, "iterations", 1),)
        model, positions, found = model or self.model, torch.nonzero(candidates).flatten(), self.images.clone()
        if not len(positions):  # few models take an empty batch
            return Met(torch.zeros_like(candidates), found, len(budgets) * [torch.zeros_like(candidates)])
        randomized = model is self.model and self.randomized
        stages = () if randomized else attack.stages(self.outputs[0].shape[1])
        if stages:
            tracker = RobustTracker(candidates.cpu(), budgets, attack, found)
            network, everything = stages[0].prepare(model, self.images[:BATCH_SIZE]), InMemory(self.images, self.labels)
            told = self._telling(attack, iterates_of(stages) * len(self))
            follow(stages, tracker, model, network, everything, seed=None, batch_size=BATCH_SIZE, progress=told)
            at = list(tracker.robust.to(candidates.device))
            return Met(at[-1], found, at, tracker.felled_by([stage.title for stage in stages]))
        chosen = InMemory(self.images[positions], self.labels[positions])
        at = [torch.zeros_like(candidates) for _ in budgets]
        for row, part, adversarial in adversarial_batches(model, chosen, attack, budgets, seed=None):
            at[row][positions[part]] = self.right(model, adversarial, chosen.labels[part])
            if row == len(budgets) - 1:
                found[positions[part]] = adversarial.to(found)
        return Met(at[-1], found, at)

    def _telling(self, attack: Attack, total: int) -> Callable[[int], None]:
        """What counts the iterates that are done, and tells it as a share."""
        done = [0]

        def count(some: int) -> None:
            done[0] += some
            self.tell(f"{attack.name} {100 * done[0] // total} %")

        return count

    def show(self, images: Tensor, candidates: Tensor) -> Met:
        """Show the model other images ``(N, 3, H, W)`` in place of some of its own, ``(N,)`` bool."""
        stands = torch.zeros_like(candidates)
        stands[candidates] = self.right(self.model, images[candidates], self.labels[candidates])
        return Met(stands, images)


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
