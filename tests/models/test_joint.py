"""Several networks as one: the mean of their logits, on a copy too, with draws that are keyed by the image."""

import pytest
import torch
from torch import nn

from atlpa.attacks import PGD
from atlpa.engine import prepare
from atlpa.model_state import RandomLayer
from atlpa.models import InputNoise, Joint, ModelSpec
from atlpa.randomness import generator


def convolutional(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 5), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 144, 5))


def test_its_logits_are_the_mean_and_so_is_what_an_attack_climbs(images, labels):
    one, other = (convolutional(seed).double().eval() for seed in (0, 1))
    torch.testing.assert_close(Joint([one, other])(images), (one(images) + other(images)) / 2)
    attack = PGD(0.1, 0.02, 5)
    found = attack(Joint([one, other]), images, labels)
    torch.testing.assert_close(found, attack(lambda x: one(x) / 2 + other(x) / 2, images, labels), atol=1e-9, rtol=0)
    assert not torch.allclose(found, attack(one, images, labels))
    torch.testing.assert_close(attack(Joint([one, one]), images, labels), attack(one, images, labels))


def test_it_is_left_as_found_and_attacked_in_evaluation_mode(images, labels):
    one, other = convolutional(0).double().train(), convolutional(1).double().train()
    PGD(0.1, 0.02, 2)(Joint([one, other]), images, labels)
    assert one.training
    assert one[1].num_batches_tracked == 0
    assert other[0].weight.requires_grad


def test_plain_callables_will_do(images, labels):
    one, other = (convolutional(seed).double().eval().requires_grad_(False) for seed in (0, 1))
    expected = PGD(0.1, 0.02, 3)(Joint([one, other]), images, labels)
    assert torch.equal(PGD(0.1, 0.02, 3)(Joint([one.forward, other.forward]), images, labels), expected)


def test_a_copy_of_several_networks_agrees():
    models = [ModelSpec(architecture="resnet18", weights="none").build(5, seed=seed).eval() for seed in (0, 1)]
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    joint = Joint(models)
    copy = prepare(joint, images, "auto", "fp32", passes=1000)
    assert type(copy).__name__ == "Frozen"
    with torch.no_grad():
        torch.testing.assert_close(copy(images), joint(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_networks_that_draw_draw_for_each_image(images, labels, engine):
    noisy = nn.Sequential(RandomLayer(InputNoise(scale=0.3), in_training=True), convolutional(0)).eval()
    joint, attack = Joint([noisy, convolutional(1).eval()]), PGD(0.1, 0.02, 2, engine=engine)

    def attacked(rows):
        draws = [generator(0, "test", number) for number in range(12)[rows]]
        return attack(joint, images[rows].float(), labels[rows], generator=draws)

    whole = attacked(slice(0, 12))
    torch.testing.assert_close(torch.cat([attacked(slice(0, 5)), attacked(slice(5, 12))]), whole, atol=1e-6, rtol=0)
