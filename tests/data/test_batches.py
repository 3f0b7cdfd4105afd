"""Batches as a pure function of (seed, step), and what cropping and mirroring may do to an image."""

from collections import Counter

import numpy as np
import pytest
import torch

from atlpa.data import Batches, Item, evenly_spaced, load_images
from atlpa.data.images import InMemory, Streamed

CPU = torch.device("cpu")


@pytest.fixture
def images():
    """Ten images whose every pixel is unique, so that a crop tells where it came from."""
    pixels = torch.randint(256, (10, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return InMemory(pixels, torch.arange(10))


def test_a_batch_depends_on_seed_and_step_alone(images):
    one, other = Batches(images, 4, 8, True, 0, CPU), Batches(images, 4, 8, True, 1, CPU)
    straight = [one.at(step) for step in range(6)]
    for step in (5, 0, 3):
        assert torch.equal(one.at(step)[0], straight[step][0])
    resumed = list(Batches(images, 4, 8, True, 0, CPU).from_step(3, 6))
    assert len(resumed) == 3
    for again, before in zip(resumed, straight[3:], strict=True):
        assert torch.equal(again[0], before[0])
        assert torch.equal(again[1], before[1])
    assert not torch.equal(other.at(0)[0], straight[0][0])


def test_every_epoch_shows_every_image_once(images):
    labels = torch.cat([Batches(images, 4, 8, True, 0, CPU).at(step)[1] for step in range(15)])  # 60 = 6 epochs of 10
    epochs = labels.view(6, 10)
    assert all(sorted(epoch.tolist()) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) > 1


@pytest.mark.parametrize("mirror", [True, False])
def test_crops_are_windows_of_the_image_maybe_mirrored(images, mirror):
    seen = Counter()
    for step in range(40):
        batch, labels = Batches(images, 4, 8, mirror, 0, CPU).at(step)
        for crop, label in zip((batch * 255).round().byte(), labels.tolist(), strict=True):
            windows = images.pixels[label].unfold(1, 8, 1).unfold(2, 8, 1)  # (3, 5, 5, 8, 8)
            for flipped, candidate in ((False, crop), (True, crop.flip(-1))):
                hit = (windows == candidate[:, None, None]).all(dim=(0, 3, 4)).nonzero().tolist()
                if hit:
                    seen[(flipped, *hit[0])] += 1
    assert sum(seen.values()) == 160  # each crop is found exactly once
    assert {flipped for flipped, *_ in seen} == ({True, False} if mirror else {False})
    for axis in (1, 2):
        assert {key[axis] for key in seen} == set(range(5))


def test_pixels_are_floats_between_0_and_1(images):
    batch, labels = Batches(images, 4, 12, False, 0, CPU).at(0)
    assert batch.dtype == torch.float32
    assert torch.equal((batch * 255).round().byte(), images.pixels[labels])


def test_streamed_and_in_memory_images_agree(monkeypatch):
    items = [Item(str(n), n % 2, np.full((10, 20, 3), (n, 50, 100), np.uint8)) for n in range(6)]
    in_memory = load_images(items, 8, CPU)
    monkeypatch.setattr("atlpa.data.images.IN_MEMORY_LIMIT", 100)
    streamed = load_images(items, 8, CPU)
    assert isinstance(in_memory, InMemory)
    assert isinstance(streamed, Streamed)
    chosen = torch.tensor([4, 0, 5])
    assert torch.equal(streamed[chosen], in_memory[chosen])
    assert in_memory[chosen][:, :, 0, 0].tolist() == [[4, 50, 100], [0, 50, 100], [5, 50, 100]]
    assert torch.equal(streamed.labels, in_memory.labels)


def test_evenly_spaced():
    assert evenly_spaced(range(10), 4) == [0, 2, 5, 7]
    assert evenly_spaced(range(3), 7) == range(3)
    assert evenly_spaced(range(3), None) == range(3)
