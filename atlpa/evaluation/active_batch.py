"""The images that a white-box attack has in hand: what has fallen makes room for the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from atlpa.attacks import Rows, State, Stepwise
from atlpa.data import Images
from atlpa.evaluation.correctness import device_of, generators, is_correct, to_batch
from atlpa.model_state import Logits
from atlpa.out_of_memory import ERRORS, fitting, halved, in_parts


@dataclass(frozen=True)
class ActiveBatch(Rows):
    """Images under attack. What decides lies on the CPU, and the rest on the model's device.

    Fields:
        positions: ``(B,)`` on the CPU, in the data.
        age: ``(B,)`` on the CPU, how many iterations each has had.
        images: ``(B, 3, H, W)``, the clean ones.
        labels: ``(B,)``.
        over: ``(B,)`` bool on the CPU, whether its last iterate is reached, or it is given up.
        state: where the attack has come to.
        following: where its next iteration leads.
    """

    positions: Tensor
    age: Tensor
    images: Tensor
    labels: Tensor
    over: Tensor
    state: State
    following: State

    @property
    def adversarial(self) -> Tensor:
        """The images ``(B, 3, H, W)`` that are judged now."""
        return self.state.adversarial

    def advanced(self) -> ActiveBatch:
        """Each one iteration further."""
        return replace(self, age=self.age + 1, state=self.following)


class ActiveQueue:
    """Attacks images step by step, each until it falls or its last iterate is judged, in batches that are kept full.

    Iterating over it gives some active images at their present iterates, and which of them have fallen there, a bool
    each on the CPU. Half precision does not judge: what it ends waits until there is a batch of such suspects, and the
    model itself is asked; whoever is acquitted goes on where it was.

    Args:
        model: left exactly as found; it judges what half precision cannot.
        network: what the attack's gradients are computed on, as its ``prepare`` makes it of the model.
        images: the data.
        attack: step by step.
        positions: the images to attack, on the CPU.
        seed: of the starts, which are keyed by image and stage; ``None`` draws from torch's global generator.
        stage: which one of the attack's this is.
        batch_size: images attacked at a time.
    """

    def __init__(
        self,
        model: Logits,
        network: Logits,
        images: Images,
        attack: Stepwise,
        positions: Tensor,
        *,
        seed: int | None = 0,
        stage: int = 0,
        batch_size: int,
    ) -> None:
        self.model, self.network, self.images, self.attack = model, network, images, attack
        self.seed, self.stage, self.size = seed, stage, fitting(batch_size)
        self.device = device_of(model, images)
        self.waiting = positions
        self.active = self._enter(self.size)
        self.suspects = self.active[:0]

    def __iter__(self) -> Iterator[tuple[ActiveBatch, Tensor]]:
        while len(self.active):
            batch, rest = self.active[: self.size], self.active[self.size :]
            try:
                batch, wrong = self._advance(batch)
            except ERRORS as error:
                self.size = halved(len(batch), error)
                continue
            self.active = rest
            ends = wrong | batch.over
            self.active += batch[~ends].advanced()
            if self.attack.exact:
                yield batch, wrong
            else:
                self.suspects += batch[ends]
                yield batch[~ends], wrong[~ends]
                yield from self._judge_suspects()
            if len(self.waiting) and (room := self.size - len(self.active)) > 0:
                self.active += self._enter(room)

    def _enter(self, count: int) -> ActiveBatch:
        """The next images that wait, at their starts."""
        fresh, self.waiting = self.waiting[:count], self.waiting[count:]
        batch, labels = to_batch(self.images, fresh, self.device)
        draws = None if self.seed is None else generators(self.seed, "attack", fresh, self.stage, self.device)
        start = self.attack.begin(self.network, batch, labels, draws)
        age = torch.zeros_like(fresh)
        return ActiveBatch(fresh, age, batch, labels, age > 0, start, start)

    def _advance(self, batch: ActiveBatch) -> tuple[ActiveBatch, Tensor]:
        """One step of the attack: where it leads, and which images are wrong where they are, on the CPU."""
        following, wrong = self.attack.advance(self.network, batch.state, batch.images, batch.labels)
        over = batch.age == self.attack.iterations
        if following.given_up is not None:
            wrong, given_up = torch.stack([wrong, following.given_up]).cpu()
            over |= given_up
        return replace(batch, following=following, over=over), wrong.cpu()

    def _judge_suspects(self) -> Iterator[tuple[ActiveBatch, Tensor]]:
        """Ask the model itself, once there is a batch to ask about, or nothing else to do."""
        if len(self.suspects) < (self.size if len(self.active) + len(self.waiting) else 1):
            return
        batch, self.suspects = self.suspects, self.suspects[:0]
        parts = in_parts(
            len(batch),
            self.size,
            lambda rows: ~is_correct(self.model, batch.adversarial[rows], batch.labels[rows]).cpu(),
        )
        fallen = torch.cat(list(parts))
        self.active += batch[~(fallen | batch.over)].advanced()
        yield batch, fallen
