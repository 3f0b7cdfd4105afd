"""PGD on randomized models: averaged gradients, fresh and held draws, and nothing of the defense left out."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import PGD
from atlpa.model_state import RandomLayer, with_generators
from atlpa.models import InputNoise
from atlpa.randomness import generator, sample


def one_each(count):
    return [generator(0, "test", number) for number in range(count)]


class Watched(nn.Module):
    """A float64 network behind noise, which remembers what was drawn."""

    def __init__(self, scale=0.3):
        super().__init__()
        torch.manual_seed(0)
        self.drawn = []
        self.noise = RandomLayer(self.draw, in_training=True)
        self.scale = scale
        self.layers = nn.Sequential(nn.Conv2d(3, 6, 5), nn.Softplus(), nn.Flatten(), nn.Linear(6 * 144, 5)).double()

    def draw(self, images, generators):
        self.drawn.append(sample(images, torch.randn, generators))
        return images + self.scale * self.drawn[-1]

    def forward(self, images):
        return self.layers(self.noise(images))


def test_gradients_are_averaged_over_fresh_draws(images, labels):
    model = Watched()
    attack = PGD(epsilon=0.1, step=0.1, iterations=1, eot=4)
    adversarial = attack(model, images, labels, generator=one_each(12))
    assert len(model.drawn) == 4
    point = images.clone().requires_grad_()
    losses = [F.cross_entropy(model.layers(point + model.scale * drawn), labels) for drawn in model.drawn]
    (gradient,) = torch.autograd.grad(sum(losses), point)
    assert torch.equal(adversarial, (images + 0.1 * gradient.sign()).clamp(0, 1))


def test_averaging_finds_the_way_that_single_draws_hide(images, labels):
    """Under strong noise the expected loss is climbed further by gradients averaged over draws."""
    model = Watched(scale=1.5)
    expected = []
    for eot in (1, 16):
        attack = PGD(epsilon=0.05, step=0.01, iterations=6, eot=eot)
        adversarial = attack(model, images, labels, generator=one_each(12))
        with torch.no_grad():
            expected.append(sum(F.cross_entropy(model(adversarial), labels) for _ in range(400)).item() / 400)
    assert expected[1] > expected[0]


@pytest.mark.parametrize("fixed", [True, False])
def test_draws_are_fresh_in_every_iteration_or_held(images, labels, fixed):
    model = Watched()
    PGD(epsilon=0.1, step=0.01, iterations=3, eot=2, fixed_draws=fixed)(
        model, images, labels, generator=generator(0, "test")
    )
    first, second, *later = model.drawn
    assert not torch.equal(first, second)
    assert [torch.equal(first, drawn) for drawn in later[::2]] == [fixed] * 2
    assert [torch.equal(second, drawn) for drawn in later[1::2]] == [fixed] * 2


def test_held_draws_need_a_generator_only_of_a_randomized_model(images, labels):
    attack = PGD(iterations=1, fixed_draws=True)
    with pytest.raises(ValueError, match="only with generators"):
        attack(Watched(), images, labels)
    attack(Watched().layers, images, labels)


@pytest.mark.parametrize("eot", [1, 3])
@pytest.mark.parametrize("start", ["zero", "uniform"])
def test_batching_changes_nothing(images, labels, start, eot):
    model, attack = Watched(), PGD(epsilon=0.1, step=0.02, iterations=4, start=start, eot=eot)
    together = attack(model, images, labels, generator=one_each(12))
    parts = [
        attack(model, images[rows], labels[rows], generator=one_each(12)[rows]) for rows in (slice(5), slice(5, 12))
    ]
    assert torch.equal(torch.cat(parts), together)


def test_generators_of_the_caller_stay(images, labels):
    """An attack without a generator of its own draws from those that its caller set."""
    model, attack = Watched(), PGD(iterations=2)
    with with_generators(model, one_each(12)):
        first = attack(model, images, labels)
        assert model.noise.generators is not None
    with with_generators(model, one_each(12)):
        assert torch.equal(attack(model, images, labels), first)
    assert model.noise.generators is None
    attack(model, images, labels, generator=one_each(12))
    assert model.noise.generators is None


def test_nothing_of_the_noise_is_left_out(images, labels):
    """A layer that erases every image leaves the attack nothing to climb."""

    class Erasing(Watched):
        def draw(self, images, generators):
            return 0 * images + InputNoise()(torch.zeros_like(images), generators)

    adversarial = PGD(iterations=3)(Erasing(), images, labels, generator=one_each(12))
    assert torch.equal(adversarial, images)
