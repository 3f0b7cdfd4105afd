"""Judging randomized networks: several draws, keyed by the image, the same clean and under attack."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from atlpa.attacks import PGD, NoAttack
from atlpa.data.images import InMemory
from atlpa.evaluation import AttackResult, correct, transfer
from atlpa.evaluation.attack_result import Perturbation
from atlpa.evaluation.correctness import generators
from atlpa.evaluation.white_box import white_box
from atlpa.model_state import RandomLayer, with_generators
from atlpa.models import InputNoise


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.noise = RandomLayer(InputNoise(scale=0.4), in_training=True)
        self.layers = nn.Sequential(nn.AvgPool2d(5), nn.Flatten(), nn.Linear(12, 3, bias=False))
        self.layers[2].weight.data = torch.eye(3).repeat_interleave(4, dim=1)  # the brightest channel

    def forward(self, images):
        return self.layers(self.noise(images))


@pytest.fixture
def data():
    labels = torch.arange(40) % 3
    pixels = torch.full((40, 3, 10, 10), 100, dtype=torch.uint8)
    pixels[torch.arange(40), labels] += torch.linspace(0, 60, 40).byte()[:, None, None]
    return InMemory(pixels, labels)


ATTACK = PGD(epsilon=0.1, step=0.02, iterations=6)


def test_each_draw_is_one_network_whatever_the_batching(data):
    model = Noisy()
    judged = correct(model, data, seed=5, draws=3)
    assert judged.shape == (3, 40)
    for draw in range(3):
        for image in range(40):
            with with_generators(model, generators(5, "judgment", torch.tensor([image]), draw)):
                logits = model(data.pixels[image : image + 1] / 255)
            assert bool(judged[draw, image]) == bool(logits.argmax() == data.labels[image])
    assert len({tuple(draw) for draw in judged.tolist()}) == 3


@pytest.mark.parametrize("batch_size", [7, 40])
def test_transfer_asks_randomized_targets_several_times(data, batch_size):
    model, plain = Noisy(), Noisy().layers
    outcomes = transfer(
        model, {"random": model, "plain": plain}, data, ATTACK, (2, 6), draws=4, seed=1, batch_size=batch_size
    )
    assert outcomes["random"].robust.shape == (2, 4, 40)
    assert outcomes["plain"].robust.shape == (2, 1, 40)
    *_, last = ATTACK.iterates(
        model, data.pixels / 255, data.labels, generator=generators(1, "attack", torch.arange(40))
    )
    for draw in range(4):
        with with_generators(model, generators(1, "judgment", torch.arange(40), draw)):
            assert torch.equal(outcomes["random"].robust[1, draw], model(last).argmax(dim=1) == data.labels)


def test_white_box_counts_an_image_that_is_right_clean_in_the_same_draw(data):
    """Nothing is attacked, so that what a draw gets right it gets right clean, and the other way round."""
    model = Noisy()
    outcome = white_box(model, data, NoAttack(), (1,), draws=3, seed=1)
    assert torch.equal(outcome.robust[0], outcome.clean)
    shown = transfer(model, {"": model}, data, ATTACK, (6,), draws=3, seed=1)[""]
    own = white_box(model, data, ATTACK, (6,), draws=3, seed=1)
    assert torch.equal(own.robust, shown.robust & shown.clean)


def test_a_result_as_a_record_holds_it():
    clean = torch.tensor([[True, False], [True, True]])
    outcome = AttackResult(clean, clean[None], (6,), Perturbation.empty(PGD(), 1, 2))
    assert outcome.budget(0).correct == ("10", "11")
    assert outcome.budget(0).iterations == 6
    assert (outcome.clean_accuracy, outcome.robust_accuracy) == (0.75, 0.75)


def test_steps_count_every_draw_of_an_averaged_gradient(data):
    model = Noisy()
    averaged = replace(ATTACK, eot=3)
    assert transfer(model, {"m": model}, data, averaged, (6,))["m"].passes == 40 * 6 * 3
