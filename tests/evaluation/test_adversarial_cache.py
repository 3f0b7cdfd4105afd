"""Adversarial images on disk: exactly those that were made, whole or not at all."""

import errno
import os

import numpy as np
import pytest
import torch

from atlpa.attacks import PGD
from atlpa.data.images import InMemory
from atlpa.errors import UserError
from atlpa.evaluation import transfer

ATTACK = PGD(epsilon=0.1, step=0.02, iterations=4)


@pytest.fixture
def network(small_cnn):
    return small_cnn.float().eval()


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(256, (23, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return InMemory(pixels, torch.randint(5, (23,), generator=generator))


def show(network, data, keep, budgets=(2, 4), attack=ATTACK):
    return transfer(network, {"it": network}, data, attack, budgets, batch_size=10, keep=keep)["it"]


def test_kept_images_are_those_that_were_made(network, data, tmp_path):
    file = tmp_path / "deeper" / "images.npy"
    made = show(network, data, file)
    *_, last = ATTACK.iterates(network, data.pixels / 255, data.labels)
    kept = np.load(file)
    assert kept.shape == (2, 23, 3, 16, 16)
    assert np.array_equal(kept[1], last.numpy())
    again = show(network, data, file)
    assert torch.equal(made.robust, again.robust)
    assert torch.equal(made.perturbation.linf, again.perturbation.linf)
    # They are read, not made.
    passes = []
    network.register_forward_hook(lambda *_: passes.append(1))
    show(network, data, file)
    # Source and target are asked whether they fit; three batches are judged at two budgets, and the clean images.
    assert len(passes) == 2 + 3 * 2 + 1


def test_a_full_disk_leaves_nothing_and_attacks_nothing(network, data, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    passes = []
    network.register_forward_hook(lambda _, given, __: passes.append(len(given[0])))
    with pytest.raises(UserError, match=r"0 MB cannot be kept at .* \(No space left on device\)"):
        show(network, data, tmp_path / "images.npy")
    assert passes == [2, 2]  # whether source and target fit
    assert not list(tmp_path.iterdir())


def test_an_attack_that_ends_early_leaves_nothing(network, data, tmp_path):
    class Failing(PGD):
        def iterates(self, *arguments, **more):
            yield from list(super().iterates(*arguments, **more))[:2]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show(network, data, tmp_path / "images.npy", attack=Failing(epsilon=0.1, step=0.02, iterations=4))
    assert not list(tmp_path.iterdir())
