"""FMN against distances that are known, a search of the plane, and another package."""

from itertools import pairwise

import pytest
import torch

from atlpa.attacks import BALLS, FMN, PGD
from atlpa.evaluation import distances, evaluate
from tests.attacks.test_pgd import linear

DUAL = {"Linf": 1, "L2": 2}


@pytest.mark.parametrize("norm", BALLS)
def test_the_distance_of_a_linear_boundary(norm):
    """|margin| / ‖w‖ in the dual norm, as long as no pixel meets its bound on the way; never less."""
    model = linear()
    images = 0.4 + 0.2 * torch.rand(20, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    logits, weight = model(images).detach(), (model[1].weight[0] - model[1].weight[1]).detach()
    labels = logits.argmax(dim=1)
    exact = (logits[:, 0] - logits[:, 1]).abs() / weight.norm(p=DUAL[norm])
    found = distances(model, images, labels, FMN(norm=norm), epsilons=[0.1, 1.0]).values
    assert (found >= exact * (1 - 1e-9)).all()
    torch.testing.assert_close(found, exact, rtol=0.01, atol=0)


def curved(points):
    """Two classes of two pixels, divided by a circle around (0.9, 0.2) of radius 0.5."""
    distance = (points.flatten(1) - torch.tensor([0.9, 0.2])).square().sum(dim=1)
    return torch.stack([distance - 0.25, 0.25 - distance], dim=1)


@pytest.mark.parametrize("norm", BALLS)
def test_in_the_plane_it_is_what_a_search_of_all_points_finds(norm):
    images = torch.rand(12, 1, 1, 2, generator=torch.Generator().manual_seed(4))
    labels = curved(images).argmax(dim=1)
    steps = torch.linspace(0, 1, 801)
    grid = torch.cartesian_prod(steps, steps).view(-1, 1, 1, 2)
    classes = curved(grid).argmax(dim=1)
    found = distances(curved, images, labels, FMN(norm=norm, iterations=300), epsilons=[0.5, 1.0]).values
    nearest = torch.stack(
        [BALLS[norm].size(grid[classes != label] - image).min() for image, label in zip(images, labels, strict=True)]
    )
    assert (found >= nearest - 2 / 800).all()
    near = (found - nearest).abs() < 2 / 800
    assert near.sum() >= 11  # along a box's edge the circle has places that are nearest among their neighbors alone
    assert (found <= 1.15 * nearest).all()


@pytest.mark.parametrize("norm", BALLS)
def test_what_it_returns_is_as_near_as_it_says_and_comes_nearer(small_cnn, images, norm):
    model = small_cnn.eval()
    labels = model(images).argmax(dim=1)
    attack = FMN(1.0, 60, norm=norm)
    said = distances(model, images, labels, attack, epsilons=[0.5, 1.0]).values
    iterates = list(attack.iterates(model, images, labels))
    assert len(iterates) == 60
    states = [(model(one).argmax(dim=1) != labels, BALLS[norm].size(one - images)) for one in iterates]
    for (fooled, far), (fools, near) in pairwise(states):
        assert (fools >= fooled).all()
        assert (near <= far)[fooled].all()
    assert states[-1][0].all()
    torch.testing.assert_close(states[-1][1], said, rtol=1e-6, atol=0)
    assert iterates[-1].min() >= 0
    assert iterates[-1].max() <= 1


@pytest.mark.parametrize("norm", BALLS)
def test_within_epsilon_it_fells_what_pgd_fells(small_cnn, images, norm):
    """An attack as any other: what is farther than ε stands, and what is realized lies within."""
    model = small_cnn.eval()
    labels = model(images).argmax(dim=1)
    epsilon = distances(model, images, labels, FMN(1.0, norm=norm), epsilons=[0.5, 1.0]).values.median().item() * 1.001
    ours = evaluate(model, images, labels, FMN(epsilon, norm=norm))
    pgd = evaluate(model, images, labels, PGD(epsilon, epsilon / 10, 40, loss="margin", norm=norm))
    assert (ours.robust <= pgd.robust).all()
    assert 0 < ours.robust.sum() < 12
    assert ours.perturbation.size.max() <= epsilon + 1e-9


def test_a_wrong_image_is_as_near_as_can_be(small_cnn, images):
    model = small_cnn.eval()
    labels = (model(images).argmax(dim=1) + 1) % 5
    assert torch.equal(FMN(0.1, 5)(model, images, labels), images)


@pytest.mark.parametrize("norm", BALLS)
def test_it_comes_as_near_as_another_package(small_cnn, images, norm):
    """Foolbox's FMN, from the same images, with as many steps: a median within two hundredths, or below."""
    foolbox = pytest.importorskip("foolbox")
    model, images = small_cnn.float().eval(), images.float()
    labels = model(images).argmax(dim=1)
    theirs = {"Linf": foolbox.attacks.LInfFMNAttack, "L2": foolbox.attacks.L2FMNAttack}[norm](steps=200)
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, found, fooled = theirs(wrapped, images, labels, epsilons=None)
    far = BALLS[norm].size(found - images).masked_fill(~fooled, torch.inf)
    ours = distances(model, images, labels, FMN(norm=norm, iterations=200), epsilons=[0.5, 1.0]).values
    assert ours.median() <= 1.02 * far.median()
