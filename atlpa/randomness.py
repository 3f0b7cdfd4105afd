"""Randomness is an argument: every draw is a pure function of a seed and of what it is for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

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


def uniform(like: torch.Tensor, bound: float, generators: Generators) -> torch.Tensor:
    """Draw from the uniform distribution on [-bound, bound] in the shape, type and device of a batch.

    The draw is made on the generator's own device and then moved, so that a CPU generator gives the same numbers
    whatever device the images are on.
    """

    def draw(shape: torch.Size, source: torch.Generator | None) -> torch.Tensor:
        device = like.device if source is None else source.device
        return torch.rand(shape, dtype=like.dtype, device=device, generator=source).to(like.device)

    if generators is None or isinstance(generators, torch.Generator):
        unit = draw(like.shape, generators)
    else:
        if len(generators) != len(like):
            raise ValueError(f"{len(generators)} generators for {len(like)} images; give one for each image")
        unit = torch.stack([draw(like.shape[1:], source) for source in generators])
    return (2 * unit - 1) * bound
