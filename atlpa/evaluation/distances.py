"""How far each image must be moved to fool a classifier: upper bounds of distances, and so accuracy at every ε."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from atlpa.attacks import PGD, Attack, Norm
from atlpa.data import Images
from atlpa.evaluation.admission import whole_number
from atlpa.evaluation.attack_result import as_strings, check_measurable
from atlpa.evaluation.correctness import BATCH_SIZE, correct, device_of, generators, to_batch
from atlpa.evaluation.evaluate import checked
from atlpa.evaluation.robust_tracker import RobustTracker
from atlpa.evaluation.white_box import classes_of, follow
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits, random_layers
from atlpa.out_of_memory import in_parts
from atlpa.records import NORM_SIGNS
from atlpa.statistics import Median, Share, median, share

GRID = {
    "Linf": tuple(2 ** (-10 + 9 * step / 62) for step in range(63)),
    "L2": tuple(2 ** (-6 + 10 * step / 62) for step in range(63)),
}
"""Every ε that is asked about by default, each a tenth above the one before; six attacks an image decide on 63 of them.

Fields:
    Linf: from 1/1024 to 1/2, where constant gray lies within reach of every image.
    L2: from 1/64 to 16.
"""
STEPS = 40


def default_attack(norm: Norm = "Linf") -> PGD:
    """PGD on the margin, whose steps are 1/16 of whatever ε it is made at."""
    farthest = GRID[norm][-1]
    return PGD(farthest, farthest / 16, STEPS, loss="margin", norm=norm)


@dataclass(frozen=True)
class DistanceResult:
    """How far images are from others that fool. Printed: the median, and what stands clean and at the largest ε.

    Fields:
        values: ``(N,)`` float64 on the CPU, upper bounds of the distances; 0 where an image is wrong as it is, infinite
            where it stands at the largest ε.
        epsilons: every ε that was asked about, ascending.
        norm: in which they are measured.
        passes: forward and backward passes, counted in images.
    """

    values: Tensor
    epsilons: tuple[float, ...]
    norm: str
    passes: int

    def accuracy(self, epsilon: float) -> Share:
        """The share of the images that nothing within ε is known to fool, with its 95 % Wilson interval."""
        return share(as_strings((self.values > epsilon)[None]))

    @property
    def median(self) -> Median:
        """With its 95 % interval."""
        return median(self.values.tolist())

    def __str__(self) -> str:
        """Such as ``median ‖δ‖∞ 0.0123 [0.011, 0.0131] of 340 · clean 66.1 % · at ε 0.5 0.0 %``."""
        last = self.epsilons[-1]
        clean, end = (100 * self.accuracy(epsilon).value for epsilon in (0, last))
        return (
            f"median {NORM_SIGNS[self.norm]} {self.median} of {len(self.values)} · clean {clean:.1f} % · "
            f"at ε {last:.4g} {end:.1f} %"
        )


@ieee_float32()
def distances(
    model: Logits,
    images: Any,
    labels: Any = None,
    attack: Attack | None = None,
    *,
    epsilons: Sequence[float] | None = None,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda _: None,
) -> DistanceResult:
    """Find out how near the nearest image is that fools, for each image, as far as an attack can tell.

    An attack that looks for the nearest (``FMN``, ``FAB``) is made once. With any other that can be followed step by
    step, ε is bisected for each image: whatever fell is attacked at a smaller ε, whatever stood at a larger one, until
    it is known between which two of ``epsilons`` it falls; images of one ε share their batches. Distances are upper
    bounds, and so are the accuracies that follow, as those under every attack; they never rise with ε.

    Args:
        model: images in [0, 1] → logits ``(B, C)``; any callable that does not draw; left exactly as found.
        images: as of ``evaluate``.
        labels: likewise.
        attack: made at many ε: its own does not matter, and its step keeps its proportion to it; by default PGD on the
            margin, in L∞.
        epsilons: every ε that is asked about, ascending; by default 63 from 1/1024 to 1/2, in L2 from 1/64 to 16.
        seed: of all that is drawn, keyed by image.
        batch_size: images attacked at a time.
        progress: called with the number of images, of N, whose distance is found.

    Raises:
        ValueError: what ``evaluate`` refuses, a model that draws, an attack that cannot be followed step by step, or
            ``epsilons`` that do not ascend or leave the range.

    Examples:
        >>> import torch
        >>> from atlpa.evaluation import distances
        >>> def brightness(images):  # two classes: light, dark
        ...     light = images.mean(dim=(1, 2, 3))
        ...     return torch.stack([light, 1 - light], dim=1)

        >>> images = torch.tensor([0.55, 0.7, 0.9]).view(3, 1, 1, 1).expand(3, 3, 8, 8)
        >>> result = distances(brightness, images, torch.zeros(3, dtype=torch.long))
        >>> print(result)
        median ‖δ‖∞ 0.2009 [0, inf] of 3 · clean 100.0 % · at ε 0.5 0.0 %
        >>> result.accuracy(0.1).percent()
        '66.7 % [20.8, 93.9]'
    """
    attack = default_attack() if attack is None else attack
    data = checked(model, images, labels, attack)
    grid = tuple(GRID.get(attack.norm, ()) if epsilons is None else epsilons)
    check_curve(attack, grid)
    batch_size = whole_number("batch_size", batch_size)
    if random_layers(model):
        raise ValueError("the model draws, so that whether an image falls is chance; evaluate it at some ε with draws")
    classes = classes_of(model, data)
    stages = attack.at(grid[-1]).stages(classes)
    device, clean = device_of(model, data), correct(model, data)[0]
    network = stages[0].prepare(model, to_batch(data, torch.arange(min(batch_size, len(data))), device)[0])
    progress(int((~clean).sum()))
    if attack.minimal:
        values, passes = _nearest(network, data, device, attack.at(grid[-1]), clean, seed, batch_size, progress)
        return DistanceResult(values, grid, attack.norm, passes)

    def fallen(asked: Tensor, epsilon: float) -> tuple[Tensor, Tensor, int]:
        """Which of some images fall at an ε, how far each was moved, and the passes it took."""
        there = attack.at(epsilon)
        tracker = RobustTracker(asked, [there.last_iterate], there)
        made = follow(there.stages(classes), tracker, model, network, data, seed=seed, batch_size=batch_size)
        return asked & ~tracker.robust[-1], tracker.perturbation.size[-1].double(), made

    values, passes = _bisected(fallen, grid, clean, progress)
    return DistanceResult(values, grid, attack.norm, passes)


def check_curve(attack: Attack, epsilons: Sequence[float]) -> None:
    """Refuse an attack or a grid of which no distances can be had.

    Raises:
        ValueError: which of them, and what is wanted.
    """
    check_measurable(attack)
    if not attack.stages(attack.fewest_classes):
        raise ValueError(f"{attack.name} cannot be followed step by step; give pgd, apgd, ensemble, square, fab or fmn")
    if len(epsilons) < 2:
        raise ValueError(f"{len(epsilons)} ε; give at least two, ascending")
    for before, after in pairwise(epsilons):
        if not before < after:
            raise ValueError(f"ε {after:g} follows {before:g}; give them ascending, each once")
    least, most = epsilons[0], epsilons[-1]
    if not (least > 0 and math.isfinite(most)):
        raise ValueError(
            f"ε from {least:g} to {most:g}; give some above 0, for the clean images are judged in any case"
        )
    if attack.norm == "Linf" and most > 1:
        raise ValueError(f"ε up to {most:g}; in L∞ give some of at most 1, in units of the pixel range")
    if attack.minimal and getattr(attack, "precision", "fp32") != "fp32":
        raise ValueError(f"{attack.name} in half precision, which judges no image; give precision fp32")


def _bisected(
    fallen: Callable[[Tensor, float], tuple[Tensor, Tensor, int]],
    grid: Sequence[float],
    clean: Tensor,
    progress: Callable[[int], object],
) -> tuple[Tensor, int]:
    """Distances by attacks at single ε, and the passes they took.

    Each image is known to stand at the first ``low`` values of the grid and to fall from value ``high`` on.
    """
    found, passes = torch.where(clean, torch.inf, 0.0).double(), 0
    low, high = torch.zeros(len(clean), dtype=torch.long), torch.where(clean, len(grid), 0)
    while (unsettled := low < high).any():
        middle = (low + high) // 2
        for place in sorted(set(middle[unsettled].tolist())):
            asked, epsilon = unsettled & (middle == place), grid[place]
            fell, sizes, made = fallen(asked, epsilon)
            passes += made
            low[asked & ~fell] = place + 1
            found[fell] = sizes[fell].clamp(max=epsilon).minimum(found[fell])
            high[fell] = torch.tensor([bisect_left(grid, size) for size in found[fell].tolist()], dtype=torch.long)
        progress(int((unsettled & (low >= high)).sum()))
    return found, passes


def _nearest(
    network: Logits,
    images: Images,
    device: torch.device,
    attack: Attack,
    clean: Tensor,
    seed: int,
    batch_size: int,
    progress: Callable[[int], object],
) -> tuple[Tensor, int]:
    """Distances by one run of an attack that looks for them, and the passes it took."""
    stage: Any = attack
    standing = torch.nonzero(clean).flatten()

    def of(rows: slice) -> Tensor:
        positions = standing[rows]
        batch, labels = to_batch(images, positions, device)
        state = stage.begin(network, batch, labels, generators(seed, "attack", positions, device=device))
        for _ in range(stage.iterations + 1):
            state, _ = stage.advance(network, state, batch, labels)
        progress(len(positions))
        farthest = attack.ball(batch).size(torch.ones_like(batch))  # what is said of images that nothing fooled
        closest: Tensor = torch.where(state.closest < farthest, state.closest, torch.inf).double().cpu()
        return torch.where(closest > attack.epsilon, torch.inf, closest)

    found = torch.where(clean, torch.inf, 0.0).double()
    if len(standing):
        found[standing] = torch.cat(list(in_parts(len(standing), batch_size, of)))
    return found, len(standing) * (stage.iterations + 1)
