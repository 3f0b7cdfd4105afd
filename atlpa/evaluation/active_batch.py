"""The images that a white-box attack has in hand: what has fallen makes room for the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from atlpa.attacks import Stepwise
from atlpa.data import Images
from atlpa.evaluation.correctness import device_of, generators, is_correct, matches, to_batch
from atlpa.model_state import Logits
from atlpa.out_of_memory import ERRORS, fitting, halved, in_parts


@dataclass(frozen=True)
class ActiveBatch:
    """Images under attack; indexing chooses some of them, adding puts others behind them.

    What decides lies on the CPU, and the rest on the model's device, which neither operation waits for.

    Fields:
        positions: ``(B,)`` on the CPU, in the data.
        age: ``(B,)`` on the CPU, how many iterations each has had.
        images: ``(B, 3, H, W)``, the clean ones.
        adversarial: likewise, where the attack has come to.
        next_adversarial: likewise, where its next iteration leads.
        labels: ``(B,)``.
    """

    positions: Tensor
    age: Tensor
    images: Tensor
    adversarial: Tensor
    next_adversarial: Tensor
    labels: Tensor

    def __iter__(self) -> Iterator[Tensor]:
        return (getattr(self, field.name) for field in fields(self))

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, chosen: Tensor | slice) -> ActiveBatch:
        """Those of a slice, or of a bool for each on the CPU."""
        if isinstance(chosen, slice):
            return ActiveBatch(*(part[chosen] for part in self))
        if chosen.all():
            return self
        places = torch.nonzero(chosen).flatten()
        on = {part.device: places.to(part.device, non_blocking=True) for part in self}
        return ActiveBatch(*(part[on[part.device]] for part in self))

    def __add__(self, more: ActiveBatch) -> ActiveBatch:
        if not (len(self) and len(more)):
            return self if len(self) else more
        return ActiveBatch(*(torch.cat(parts) for parts in zip(self, more, strict=True)))

    def advanced(self) -> ActiveBatch:
        """Each one iteration further."""
        return replace(self, age=self.age + 1, adversarial=self.next_adversarial)


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
        seed: of the starts, which are keyed by image and restart; ``None`` draws from torch's global generator.
        restart: which one this is.
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
        restart: int = 0,
        batch_size: int,
    ) -> None:
        self.model, self.network, self.images, self.attack = model, network, images, attack
        self.seed, self.restart, self.size = seed, restart, fitting(batch_size)
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
            ends = wrong | (batch.age == self.attack.iterations)
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
        draws = None if self.seed is None else generators(self.seed, "attack", fresh, self.restart, self.device)
        start = self.attack.initial(batch, draws)
        return ActiveBatch(fresh, torch.zeros_like(fresh), batch, start, start, labels)

    def _advance(self, batch: ActiveBatch) -> tuple[ActiveBatch, Tensor]:
        """One step of the attack: where it leads, and which images are wrong where they are, on the CPU."""
        following, logits = self.attack.advance(self.network, batch.adversarial, batch.images, batch.labels)
        return replace(batch, next_adversarial=following), (~matches(logits, batch.labels)).cpu()

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
        self.active += batch[~fallen & (batch.age < self.attack.iterations)].advanced()
        yield batch, fallen
