"""The Square attack (Andriushchenko et al. 2020): random search that looks at outputs alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from atlpa.attacks.attack import Attack, Cost
from atlpa.attacks.inputs import AttackBatch, check_batch
from atlpa.attacks.objectives import margin
from atlpa.component import PixelDistance
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits, eval_mode, with_generators
from atlpa.randomness import Generators, sample

# After each of these shares of all queries the squares shrink, as in the original (after 10, 50, 200, … of 10000).
_SHRINK_AFTER = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_FIRST_AREA = 0.8


class Square(Attack):
    """Sets random squares of the image to x ± ε and keeps what raises the margin; it needs no gradient.

    The start is vertical stripes of ±ε. An image that has fallen is left alone.

    Fields:
        epsilon: ε of the L∞ ball, in units of the [0, 1] pixel range.
        iterations: queries an image may cost, the start among them.
    """

    name = "square"
    gradients = False
    transferable = False
    budget = "iterations"

    epsilon: PixelDistance = 8 / 255
    iterations: Annotated[int, Field(ge=1)] = 1000

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """The best images after each query."""
        batch = check_batch(images, labels)
        images = batch.images
        best = (images + self.epsilon * _signs(images[:, :, :1, :], generator)).clamp(0, 1)
        height = _query(model, best, batch, generator)
        yield best
        for iteration in range(1, self.iterations):
            standing = torch.nonzero((height < 0).cpu()).flatten()
            if len(standing):
                some = generator
                if not (generator is None or isinstance(generator, torch.Generator)):
                    some = [generator[place] for place in standing.tolist()]
                rows = standing.to(images.device, non_blocking=True)
                candidates = self._with_a_square(best, images, iteration, generator)
                reached = torch.full_like(height, -torch.inf)
                reached[rows] = _query(model, candidates[rows], batch._replace(labels=batch.labels[rows]), some)
                better = reached > height
                best, height = torch.where(better[:, None, None, None], candidates, best), height.maximum(reached)
            yield best

    def _with_a_square(self, best: Tensor, images: Tensor, iteration: int, generator: Generators) -> Tensor:
        """The present images with one square each, of ±ε per channel."""
        rows, columns = images.shape[2:]
        area = _FIRST_AREA / 2 ** sum(iteration / self.iterations > share for share in _SHRINK_AFTER)
        side = min(max(1, round(math.sqrt(area * rows * columns))), rows, columns)
        place = sample(images.new_empty(len(images), 2), torch.rand, generator)
        inside = torch.ones_like(images[:, :1], dtype=torch.bool)
        for axis, length in ((0, rows), (1, columns)):
            first = (place[:, axis] * (length - side + 1)).floor()[:, None]
            along = torch.arange(length, device=images.device)[None]
            within = (along >= first) & (along < first + side)
            inside = inside & (within[:, None, :, None] if axis == 0 else within[:, None, None, :])
        signs = _signs(images[:, :, :1, :1], generator)
        return torch.where(inside, (images + self.epsilon * signs).clamp(0, 1), best)

    def cost(self) -> Cost:
        """At most one forward pass per query."""
        return Cost(self.iterations, 0)


def _signs(like: Tensor, generator: Generators) -> Tensor:
    """Random −1 and 1 in the shape of a tensor."""
    return 2 * (sample(like, torch.rand, generator) < 0.5).to(like.dtype) - 1


@torch.no_grad()
@ieee_float32()
def _query(model: Logits, shown: Tensor, batch: AttackBatch, generator: Generators) -> Tensor:
    """How far each image ``(B,)`` is over the decision boundary if the model is shown these in its place."""
    with eval_mode(model), with_generators(model, generator):
        return margin(batch.checked_logits(model(shown)), batch.labels)
