"""Randomness is an argument: every draw is a pure function of a seed and of what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

Generators = torch.Generator | Sequence[torch.Generator] | None
"""One generator for a batch, one for each image (so that batching cannot change a draw), or torch's global one."""


def generator(seed: int, purpose: str, *keys: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one purpose, independent of those for other seeds, purposes and keys.

    Args:
        seed: the experiment's seed.
        purpose: what is drawn, e.g. ``"augmentation"``.
        keys: further indices, e.g. the step or the image.
        device: where it draws. The numbers of one kind of device are not those of another.
    """
    entropy = [seed, *purpose.encode(), 256, *keys]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state))


class BatchPart(torch.Generator):
    """A generator of a whole batch's numbers, of which ``sample`` gives only those of some of its images.

    What an image meets thus does not depend on who shares its pass: how many processes or micro-batches a batch is
    divided among. Where several views of the same images are drawn for, one behind the other, each has its rows.

    Fields:
        rows: the part's places in the batch.
        of: how many images the batch has.
    """

    rows: range
    of: int

    @classmethod
    def taken(cls, source: torch.Generator | None, rows: range, of: int) -> torch.Generator | None:
        """A part of what a generator gives a batch, or a part's part; the generator itself where that is all.

        It draws from a copy, so that each part of a batch begins where the batch does. ``None`` stays ``None``.
        """
        if source is None or len(rows) == of:
            return source
        part = cls(source.device)
        part.set_state(source.get_state())
        part.rows, part.of = rows, of
        if isinstance(source, BatchPart):
            part.rows, part.of = source.rows[rows.start : rows.stop], source.of
        return part

    def numbers(self, shape: torch.Size, sampler: Callable[..., Tensor], **options: Any) -> Tensor:
        """The rows of this part, of each view."""
        views, rest = divmod(shape[0], len(self.rows))
        if rest:
            raise ValueError(f"{shape[0]} images are no whole number of views of {len(self.rows)}")
        drawn = sampler((views, self.of, *shape[1:]), generator=self, **options)
        return drawn[:, self.rows.start : self.rows.stop].reshape(shape)


def sample(like: Tensor, sampler: Callable[..., Tensor], generators: Generators) -> Tensor:
    """Draw numbers in the shape, type and device of a batch, image by image where each has a generator.

    The draws are made on the generators' own device and the batch is then moved, if it must be: a generator of the
    images' device costs no transfer, and one of the CPU gives the same numbers whatever device the images are on.

    Args:
        like: ``(B, …)``.
        sampler: ``torch.rand`` or ``torch.randn``.
        generators: where the numbers come from.
    """
    if generators is None or isinstance(generators, torch.Generator):
        device = like.device if generators is None else generators.device
        how: dict[str, Any] = {"dtype": like.dtype, "device": device}
        if isinstance(generators, BatchPart):
            return generators.numbers(like.shape, sampler, **how).to(like.device)
        return sampler(like.shape, generator=generators, **how).to(like.device)
    if len(generators) != len(like):
        raise ValueError(f"{len(generators)} generators for {len(like)} images; give one for each image")
    device = generators[0].device if generators else like.device
    drawn = torch.empty(like.shape, dtype=like.dtype, device=device)
    for place, source in zip(drawn, generators, strict=True):
        sampler(place.shape, generator=source, out=place)
    return drawn.to(like.device)


def keys_of(images: Tensor, generators: Generators) -> Tensor:
    """A number ``(B,)`` for each image of a batch ``(B, …)``, to draw by with ``keyed_uniform``, on their device."""
    drawn = sample(images.new_empty(len(images), 2, dtype=torch.float64), torch.rand, generators)
    low, high = (2**31 * drawn).long().unbind(dim=1)
    return (high << 31) + low


def keyed_uniform(keys: Tensor, turn: Tensor, count: int) -> Tensor:
    """Numbers ``(B, count)`` in [0, 1) that follow from each image's key and turn ``(B,)``: a hash.

    Thousands of small draws for images that come and go cost a few operations for all of them, on any device, and no
    batching changes them. The hash is the finalizer of SplitMix64 (Steele et al. 2014).
    """
    place = turn[:, None] * count + torch.arange(count, device=keys.device)
    state = keys[:, None] + (place + 1) * -0x61C8864680B583EB  # 2⁶⁴ over the golden ratio, as a signed number
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        state = (state ^ _shifted(state, shift)) * factor
    return _shifted(state ^ _shifted(state, 31), 11).double() / 2**53


def _shifted(state: Tensor, by: int) -> Tensor:
    """To the right, with zeros from the left."""
    return (state >> by) & ((1 << (64 - by)) - 1)


def of_rows(generators: Generators, rows: Tensor) -> Generators:
    """The generators of some images, positions on the CPU, where each has its own."""
    if generators is None or isinstance(generators, torch.Generator):
        return generators
    return [generators[row] for row in rows.tolist()]


def uniform(like: Tensor, bound: float, generators: Generators) -> Tensor:
    """Draw from the uniform distribution on [-bound, bound]; the rest is as in ``sample``."""
    return (2 * sample(like, torch.rand, generators) - 1) * bound


@contextmanager
def global_draws(source: torch.Generator | None) -> Iterator[None]:
    """Let torch's global generators, which dropout draws from, follow from a generator's seed; restored afterwards.

    The generator itself is not drawn from. Parts of a batch have draws of their own, which are not those that they have
    in the whole. ``None`` leaves everything as it is.
    """
    if source is None:
        yield
        return
    with torch.random.fork_rng(devices=[source.device] if source.device.type == "cuda" else []):
        place = (source.rows.start,) if isinstance(source, BatchPart) and source.rows.start else ()
        torch.manual_seed(generator(source.initial_seed(), "layers", *place).initial_seed())
        yield


@contextmanager
def rewound(generators: Generators) -> Iterator[None]:
    """Put generators back to where they were, so that what follows draws the same numbers again."""
    if generators is None:
        raise ValueError("draws can be held fixed only with generators; give one, or one for each image")
    sources = [generators] if isinstance(generators, torch.Generator) else generators
    states = [source.get_state() for source in sources]
    try:
        yield
    finally:
        for source, state in zip(sources, states, strict=True):
            source.set_state(state)
