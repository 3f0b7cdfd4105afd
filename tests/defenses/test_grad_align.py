"""Gradient alignment against finite differences, closed forms, and what must not change it."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import FGSM
from atlpa.component import validate
from atlpa.defenses import Defense, Views, load_preset
from atlpa.defenses.grad_align import GradAlign
from atlpa.model_state import RandomLayer
from atlpa.randomness import sample, uniform
from atlpa.training import Recipe, training_step


def draw():
    return torch.Generator().manual_seed(4)


def term(model, images, labels, epsilon=0.1, generator=None):
    """The unweighted loss with a fixed η."""
    views = Views(labels, images, model=model, generator=generator or draw())
    return GradAlign(epsilon=epsilon)(views, 1.0)


@pytest.fixture
def smooth():
    """A float64 network without kinks, and three small images."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 2), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 4, 3)]
    images = torch.rand(3, 3, 5, 5, dtype=torch.float64)
    return nn.Sequential(*layers).double(), images, torch.tensor([0, 1, 2])


def slope(model, image, label, h=1e-6):
    """The input gradient of one image's cross-entropy by central differences."""
    changes = h * torch.eye(image.numel(), dtype=torch.float64).view(-1, *image.shape)
    high, low = (-model(image + sign * changes).log_softmax(1)[:, label] for sign in (1, -1))
    return (high - low) / (2 * h)


@torch.no_grad()
def test_is_one_minus_the_cosine_of_two_input_gradients(smooth):
    """By finite differences of the loss, image by image."""
    model, images, labels = smooth
    noisy = images + uniform(images, 0.3, draw())
    pairs = [[slope(model, points[i], labels[i]) for points in (images, noisy)] for i in range(3)]
    expected = torch.stack([1 - a @ b / (a.norm() * b.norm()) for a, b in pairs]).mean()
    with torch.enable_grad():
        found = term(model, images, labels, 0.3)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    assert expected > 1e-3


def test_its_gradient_is_that_of_finite_differences(smooth):
    """For every kind of weight: it goes through both input gradients."""
    model, images, labels = smooth
    term(model, images, labels, 0.3).backward()
    for parameter in (model[0].weight, model[2].bias, model[5].weight):
        place = (0,) * parameter.ndim
        values = []
        for change in (1e-5, -2e-5):
            with torch.no_grad():
                parameter[place] += change
            values.append(term(model, images, labels, 0.3).item())
        with torch.no_grad():
            parameter[place] += 1e-5
        assert parameter.grad[place].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-9)
        assert abs(parameter.grad[place].item()) > 1e-8


def test_a_linear_model_of_two_classes_is_aligned():
    """Its gradient is (p_y − 1)·(w_y − w_other), wherever it is taken."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).double()
    images = torch.rand(6, 3, 4, 4, dtype=torch.float64)
    assert term(model, images, torch.arange(6) % 2, 0.5).item() == pytest.approx(0, abs=1e-12)


class Bowl(nn.Module):
    """Logits (‖x‖²/2 + bias, 0): the gradient of the cross-entropy points to or from the origin."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, images):
        height = images.flatten(1).square().sum(dim=1) / 2 + self.bias
        return torch.stack([height, 0 * height], dim=1)


def test_a_bowl_has_the_cosine_between_an_image_and_its_neighbor():
    images, labels = torch.rand(5, 3, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 0])
    noisy = images + uniform(images, 0.4, draw())  # not cut to [0, 1], as in the source
    cosine = F.cosine_similarity(images.flatten(1), noisy.flatten(1))
    assert term(Bowl(), images, labels, 0.4).item() == pytest.approx((1 - cosine).mean().item(), rel=1e-9)


def test_an_image_without_a_gradient_counts_as_aligned():
    """At the origin of the bowl, and where the cross-entropy has underflowed: no loss, and finite gradients."""
    model = Bowl().float()
    with torch.no_grad():
        model.bias.fill_(200.0)
    images = torch.rand(3, 3, 4, 4)
    assert term(model, images, torch.tensor([0, 0, 0])).item() == 0  # p_y is 1
    images[0] = 0
    found = term(model, images, torch.tensor([1, 1, 1]))
    found.backward()
    assert 0 < found.item() < 1
    assert found.item() == pytest.approx(2 / 3 * term(model, images[1:], torch.tensor([1, 1])).item(), rel=0.2)
    assert torch.isfinite(model.bias.grad)


def test_a_network_that_draws_meets_the_same_draws_at_both_points():
    """A layer that mixes the colors at random before a linear model: with its draws held, two classes are aligned."""

    def mixed(images, generators):
        return images * (1 + 5 * sample(images, torch.randn, generators))

    torch.manual_seed(0)
    layers = [RandomLayer(mixed, in_training=True), nn.Dropout(0.5), nn.Flatten(), nn.Linear(48, 2)]
    model = nn.Sequential(*layers).double().train()
    images = torch.rand(6, 3, 4, 4, dtype=torch.float64)
    state = torch.get_rng_state()
    assert term(model, images, torch.arange(6) % 2, 0.5).item() == pytest.approx(0, abs=1e-12)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_step_adds_its_gradient_to_that_of_fgsm_training(small_cnn, images, labels):
    """Written out by hand; η is as wide as the training attack's ε, whatever that is at this step."""
    model, twin = small_cnn.train(), copy.deepcopy(small_cnn)
    model[3].p = twin[3].p = 0.0
    defense = validate(Defense, load_preset("grad_align").fields)
    attack = defense.training_attack(Recipe().attack)
    assert attack == FGSM(0.25)
    small = attack.scaled(0.2)
    result = training_step(model, defense, small, Recipe().make_optimizer(model), images, labels, draw())

    adversarial = small(twin, images, labels)
    loss = F.cross_entropy(twin.train()(adversarial), labels)
    directions = []
    for place in (images, images + uniform(images, 0.05, draw())):
        points = place.clone().requires_grad_(True)
        own = F.cross_entropy(twin(points), labels)
        directions.append(torch.autograd.grad(own, points, create_graph=True)[0].flatten(1))
    aligned = 0.2 * (1 - F.cosine_similarity(*directions)).mean()
    (loss + aligned).backward()
    assert result.terms["grad_align"].item() == pytest.approx(aligned.item(), rel=1e-9)
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-9, msg=name)
    assert torch.equal(model[1].running_mean, twin[1].running_mean)


def test_what_it_needs_is_said():
    images = torch.rand(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"grad_align needs views\.model"):
        GradAlign()(Views(torch.zeros(2).long(), images), 1.0)
    assert GradAlign().weight == 0.2
    with pytest.raises(ValueError, match="64 is outside"):
        GradAlign(epsilon=64)


def test_synchronized_batchnorm_is_refused_where_it_is_asked_for():
    defense = validate(Defense, load_preset("grad_align").fields)
    assert not Recipe().synchronized(torch.device("cuda"), defense)
    with pytest.raises(ValueError, match="grad_align differentiates twice"):
        Recipe(sync_batchnorm=True).synchronized(torch.device("cuda"), defense)
