"""Randomness is an argument: every draw is a pure function of a seed and of what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

Generators = torch.Generator | Sequence[torch.Generator] | None
"""One generator for a batch, one for each image (so that batching cannot change a draw), or torch's global one."""


def generator(seed: int, purpose: str, *keys: int) -> torch.Generator:
    """A CPU generator for one purpose, independent of those for other seeds, purposes and keys.

    Args:
        seed: the experiment's seed.
        purpose: what is drawn, e.g. ``"augmentation"``.
        keys: further indices, e.g. the step or the image.
    """
    entropy = [seed, *purpose.encode(), 256, *keys]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def sample(like: Tensor, sampler: Callable[..., Tensor], generators: Generators) -> Tensor:
    """Draw numbers in the shape, type and device of a batch, image by image where each has a generator.

    The draw is made on the generator's own device and then moved, so that a CPU generator gives the same numbers
    whatever device the images are on.

    Args:
        like: ``(B, …)``.
        sampler: ``torch.rand`` or ``torch.randn``.
        generators: where the numbers come from.
    """

    def draw(shape: torch.Size, source: torch.Generator | None) -> Tensor:
        device = like.device if source is None else source.device
        return sampler(shape, dtype=like.dtype, device=device, generator=source).to(like.device)

    if generators is None or isinstance(generators, torch.Generator):
        return draw(like.shape, generators)
    if len(generators) != len(like):
        raise ValueError(f"{len(generators)} generators for {len(like)} images; give one for each image")
    return torch.stack([draw(like.shape[1:], source) for source in generators])


def uniform(like: Tensor, bound: float, generators: Generators) -> Tensor:
    """Draw from the uniform distribution on [-bound, bound]; the rest is as in ``sample``."""
    return (2 * sample(like, torch.rand, generators) - 1) * bound


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
