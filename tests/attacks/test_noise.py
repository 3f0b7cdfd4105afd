"""Noise: its size, its range, its reproducibility."""

import torch

from atlpa.attacks import Noise
from atlpa.randomness import generator

LABELS = torch.zeros(4, dtype=torch.long)


def test_is_uniform_within_epsilon():
    gray = torch.full((4, 3, 64, 64), 0.5)
    change = Noise(epsilon=0.2)(lambda x: x, gray, LABELS, generator=generator(0, "test")) - gray
    assert change.abs().max() <= 0.2 + 1e-6
    # A uniform variable on [−ε, ε] has mean 0 and standard deviation ε/√3; n = 49 152.
    assert abs(change.mean()) < 4 * 0.2 / 3**0.5 / 49152**0.5
    assert abs(change.std() - 0.2 / 3**0.5) < 0.002


def test_clips_to_the_pixel_range():
    noisy = Noise(epsilon=0.5)(lambda x: x, torch.ones(2, 3, 8, 8), LABELS[:2])
    assert noisy.max() <= 1
    assert noisy.min() >= 0.5


def test_is_the_same_for_the_same_generator():
    white = torch.rand(2, 3, 8, 8)
    first, second = (Noise()(lambda x: x, white, LABELS[:2], generator=generator(7, "test")) for _ in range(2))
    assert torch.equal(first, second)
