"""The Square attack (Andriushchenko et al. 2020): random search that looks at outputs alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from atlpa.attacks.attack import Attack
from atlpa.attacks.inputs import AttackBatch, check_batch
from atlpa.attacks.norms import Norm
from atlpa.attacks.objectives import fools, margin
from atlpa.attacks.rows import State, where
from atlpa.attacks.square_l2 import moved, numbers_of_start, odd, tiled
from atlpa.attacks.stepwise import Cost
from atlpa.attacks.windows import Windows, sides
from atlpa.attacks.with_precision import WithPrecision
from atlpa.engine import Engine, Precision, prepare
from atlpa.field_types import Radius
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits, eval_mode, with_generators
from atlpa.randomness import Generators, keyed_uniform, keys_of, of_rows


@dataclass(frozen=True)
class SquareState(State):
    """What the search knows of each image.

    Fields:
        adversarial: ``(B, 3, H, W)``, the candidate that is asked about next.
        best: likewise, the one of the highest margin; the start until one was asked.
        highest: ``(B,)``, that margin.
        query: ``(B,)``, how many there were.
        keys: ``(B,)``, what the image's draws follow from.
    """

    best: Tensor
    highest: Tensor
    query: Tensor
    keys: Tensor


class Square(WithPrecision, Attack):
    """Sets random squares of the image to x ± ε and keeps what raises the margin; it needs no gradient.

    The start is vertical stripes of ±ε. An image that has fallen is left alone. In L2 a change of length ε, at first
    5 × 5 tiles, is moved from one random window to another.

    Fields:
        epsilon: ε of the ball, in units of the [0, 1] pixel range. Default: the field's.
        iterations: queries an image may cost, the start among them. Default: a fifth of AutoAttack's 5000, about the
            time of the paper's 200 steps of PGD.
        engine: what is asked, as of ``PGD``.
        precision: of its answers, as of ``PGD``; in ``bf16`` margins that differ by less than it holds pass for equal.
        norm: of the ball, ``Linf`` or ``L2``. Default: the field's.

    Examples:
        >>> import torch
        >>> from atlpa.attacks import Square
        >>> def brightness(images):  # two classes: light, dark
        ...     light = images.mean(dim=(1, 2, 3))
        ...     return torch.stack([light, 1 - light], dim=1)

        >>> images, labels = torch.full((1, 3, 4, 4), 0.6), torch.tensor([0])
        >>> adversarial = Square(epsilon=0.2, iterations=500)(brightness, images, labels)
        >>> brightness(adversarial).argmax(dim=1).item()  # no gradient was asked for
        1
    """

    name = "square"
    gradients = False
    transferable = False
    budget = "iterations"

    epsilon: Radius = 8 / 255
    iterations: Annotated[int, Field(ge=1)] = 1000
    engine: Engine = "auto"
    precision: Precision = "fp32"
    norm: Norm = "Linf"

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """The best images after each query."""
        batch = check_batch(images, labels)
        model, best = self.prepare(model, batch.images), batch.images
        state = self.begin(model, batch.images, batch.labels, generator)
        state = self._ask_next(state, batch.images)  # that the image itself stands was never asked
        rows = torch.arange(len(best))
        for _ in range(self.iterations):
            if len(rows):
                places = rows.to(best.device, non_blocking=True)
                some = batch._replace(images=batch.images[places], labels=batch.labels[places])
                state, fooled = self._advance(model, state, some, of_rows(generator, rows))
                best = best.index_copy(0, places, state.best)
                standing = ~fooled.cpu()
                state, rows = state[standing], rows[standing]
            yield best

    def begin(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators = None) -> SquareState:
        """The image itself, which is asked about first, the start, and the key of what is drawn for it."""
        del model
        lowest, query = torch.full_like(images[:, 0, 0, 0], -torch.inf), torch.zeros_like(labels)
        images, keys = images.detach(), keys_of(images, generator)
        start = self._tiles if self.norm == "L2" else self._stripes
        return SquareState(images, start(keys, images), lowest, query, keys)

    def advance(
        self, model: Logits, state: SquareState, images: Tensor, labels: Tensor, generator: Generators = None
    ) -> tuple[SquareState, Tensor]:
        """The next candidate, and which of the present ones fool the model, ``(B,)`` bool."""
        return self._advance(model, state, AttackBatch(images.detach(), labels), generator)

    def gap(self, state: SquareState) -> Tensor:
        """How far the margin of the best candidate is below 0, ``(B,)``."""
        return -state.highest

    @torch.no_grad()
    @ieee_float32()
    def _advance(
        self, model: Logits, state: SquareState, batch: AttackBatch, generator: Generators
    ) -> tuple[SquareState, Tensor]:
        with eval_mode(model), with_generators(model, generator):
            logits = batch.checked_logits(model(state.adversarial))
        height = margin(logits, batch.labels)
        better = (height > state.highest) & (state.query > 0)
        best = where(better, state.adversarial, state.best)
        state = replace(state, best=best, highest=torch.where(better, height, state.highest))
        return self._ask_next(state, batch.images), fools(logits, batch.labels)

    @torch.no_grad()
    def _ask_next(self, state: SquareState, images: Tensor) -> SquareState:
        """With the next candidate: the start at first, then the best image with one square changed."""
        propose = self._length_moved if self.norm == "L2" else self._square_set
        candidate = where(state.query == 0, state.best, propose(state, images))
        return replace(state, adversarial=candidate, query=state.query + 1)

    def _stripes(self, keys: Tensor, images: Tensor) -> Tensor:
        """Vertical ones of ±ε, of each channel for itself."""
        channels, columns = images.shape[1], images.shape[3]
        drawn = keyed_uniform(~keys, torch.zeros_like(keys), channels * columns)
        return self._within(images, _signs(drawn).view(-1, channels, 1, columns))

    def _square_set(self, state: SquareState, images: Tensor) -> Tensor:
        """The best image with one square of ±ε per channel."""
        channels = images.shape[1]
        drawn = keyed_uniform(state.keys, state.query, channels + 2)
        square = Windows.at(drawn[:, channels:], sides(state.query, self.iterations, images), images)
        changed = self._within(images, _signs(drawn[:, :channels]).view(-1, channels, 1, 1))
        return torch.where(square.inside, changed, state.best)

    def _within(self, images: Tensor, signs: Tensor) -> Tensor:
        return (images + self.epsilon * signs.to(images)).clamp(0, 1)

    def _tiles(self, keys: Tensor, images: Tensor) -> Tensor:
        """Pyramids of both signs, of length ε together."""
        drawn = keyed_uniform(~keys, torch.zeros_like(keys), numbers_of_start(images))
        return self.ball(images).project(images + tiled(images, drawn, self.epsilon))

    def _length_moved(self, state: SquareState, images: Tensor) -> Tensor:
        """The best image with one window of its change emptied into another."""
        channels = images.shape[1]
        drawn = keyed_uniform(state.keys, state.query, channels + 5)
        side = odd(sides(state.query, self.iterations, images), images)
        first, second = (Windows.at(drawn[:, at : at + 2], side, images) for at in (channels, channels + 2))
        signs, turned = _signs(drawn[:, :channels]).view(-1, channels, 1, 1).to(images), drawn[:, -1] < 0.5
        change = moved(state.best - images, first, second, signs, turned, self.epsilon)
        return self.ball(images).project(images + change)

    def prepare(self, model: Logits, images: Tensor) -> Logits:
        """What is asked: the model, or a faster copy."""
        return prepare(model, images, self.engine, self.precision, self.iterations)

    def stages(self, classes: int) -> Sequence[Square]:
        """Itself."""
        del classes
        return (self,)

    def cost(self) -> Cost:
        """At most one forward pass per query."""
        return Cost(self.iterations, 0)


def _signs(numbers: Tensor) -> Tensor:
    """−1 and 1 by numbers in [0, 1)."""
    return torch.where(numbers < 0.5, 1.0, -1.0)
