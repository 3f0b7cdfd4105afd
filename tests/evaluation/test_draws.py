"""Judging randomized networks: several draws, keyed by the image, the same clean and under attack."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from atlpa.attacks import PGD
from atlpa.data.images import InMemory
from atlpa.evaluation import AttackResult, correct, transfer, white_box
from atlpa.evaluation.accuracy import generators
from atlpa.evaluation.attack_result import Perturbation
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
    assert outcomes["random"].correct.shape == (2, 4, 40)
    assert outcomes["plain"].correct.shape == (2, 1, 40)
    *_, last = ATTACK.iterates(
        model, data.pixels / 255, data.labels, generator=generators(1, "attack", torch.arange(40))
    )
    for draw in range(4):
        with with_generators(model, generators(1, "judgment", torch.arange(40), draw)):
            assert torch.equal(outcomes["random"].correct[1, draw], model(last).argmax(dim=1) == data.labels)


def test_standing_counts_an_image_that_is_right_clean_in_the_same_draw():
    clean = torch.tensor([[True, False], [True, True]])
    attacked = torch.tensor([[[True, True], [False, True]]])
    outcome = AttackResult(clean, attacked, Perturbation.empty(1, 2), steps=0).standing()
    assert outcome.correct.tolist() == [[[True, False], [False, True]]]
    assert outcome.budget(0, 6).correct == ("10", "01")
    assert outcome.clean_verdicts() == ("10", "11")


def test_steps_count_every_draw_of_an_averaged_gradient(data):
    model = Noisy()
    averaged = replace(ATTACK, eot=3)
    assert transfer(model, {"m": model}, data, averaged, (6,))["m"].steps == 40 * 6 * 3


def test_lanes_refuse_what_would_fall_by_chance(data):
    with pytest.raises(ValueError, match="falls by chance"):
        white_box(Noisy(), data, ATTACK, (6,))
