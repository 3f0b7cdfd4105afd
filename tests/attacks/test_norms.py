"""Balls by what defines them, and their projections against an optimizer and the plain formula."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import kstest

from atlpa.attacks import BALLS, PGD
from atlpa.attacks.norms import L2Ball, LinfBall

DRAW = torch.Generator().manual_seed(0)


def nearest(point, image, epsilon):
    """The nearest point of an L2 ball and [0, 1] together, by sequential quadratic programming."""
    found = minimize(
        lambda z: ((z - point) ** 2).sum(),
        image,
        jac=lambda z: 2 * (z - point),
        bounds=[(0, 1)] * len(point),
        constraints={
            "type": "ineq",
            "fun": lambda z: epsilon**2 - ((z - image) ** 2).sum(),
            "jac": lambda z: -2 * (z - image),
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return found.x


def test_an_l2_projection_is_the_nearest_point():
    """Of points inside, outside, and where [0, 1] stops some or nearly all pixels."""
    images = torch.rand(8, 3, 2, 1, dtype=torch.float64, generator=DRAW).mul(1.5).sub(0.25).clamp(0, 1)
    scale = torch.tensor([0.05, 0.1, 0.3, 0.5, 1, 2, 5, 20], dtype=torch.float64)[:, None, None, None]
    points = images + scale * torch.randn(images.shape, dtype=torch.float64, generator=DRAW)
    found = L2Ball(images, 0.4).project(points.clone())
    for row in range(8):
        expected = nearest(*(values[row].flatten().numpy() for values in (points, images)), 0.4)
        np.testing.assert_allclose(found[row].flatten().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.3, 2.0])
def test_saturated_pixels_do_not_keep_an_l2_step_from_reaching_its_ball(epsilon):
    """In float32, with half of the pixels at 0 or 1: the length that these cannot take goes to the others."""
    images = torch.rand(8, 3, 16, 16, generator=DRAW).mul(2).sub(0.5).clamp(0, 1)
    ahead = images + torch.randn(images.shape, generator=DRAW)
    found = L2Ball(images, epsilon).project(ahead) - images
    torch.testing.assert_close(L2Ball.size(found), torch.full((8,), epsilon), rtol=1e-6, atol=0)


def test_an_linf_ball_is_the_plain_formula():
    """Bit for bit: PGD's step, and the points it is projected to."""
    images = torch.rand(4, 3, 5, 5, generator=DRAW).round(decimals=1)
    points, gradient = images + 0.3 * torch.randn(images.shape, generator=DRAW), torch.randn(images.shape)
    expected = points.clamp((images - 0.1).clamp(min=0), (images + 0.1).clamp(max=1))
    assert torch.equal(LinfBall(images, 0.1).project(points.clone()), expected)
    attack = PGD(0.1, 0.03, 1)
    stepped = (images + 0.03 * gradient.sign()).clamp((images - 0.1).clamp(min=0), (images + 0.1).clamp(max=1))
    assert torch.equal(attack._step(images.clone(), gradient, attack.ball(images)), stepped)


@pytest.mark.parametrize("norm", BALLS)
def test_the_steepest_way_beats_every_other_of_its_size(norm):
    ball, gradient = BALLS[norm], torch.randn(3, 3, 4, 4, dtype=torch.float64, generator=DRAW)
    steepest = ball.ascent(gradient)
    torch.testing.assert_close(ball.size(steepest), torch.ones(3, dtype=torch.float64))
    others = torch.randn(200, *gradient.shape, dtype=torch.float64, generator=DRAW)
    others[0], others[1] = gradient, gradient.sign()
    for other in others:
        promised = (gradient * (other / ball.size(other)[:, None, None, None])).sum(dim=(1, 2, 3))
        assert (promised <= (gradient * steepest).sum(dim=(1, 2, 3)) + 1e-12).all()


@pytest.mark.parametrize("size", [0, 1e-30, 1e30])
def test_a_gradient_of_any_size_has_a_direction_and_none_has_none(size):
    gradient = size * torch.tensor([3.0, 0, -4]).view(1, 3, 1, 1)
    expected = [0.6, 0, -0.8] if size else [0, 0, 0]
    assert L2Ball.ascent(gradient).flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("norm", BALLS)
def test_each_image_may_have_its_own_ball(norm):
    images = torch.rand(3, 3, 4, 4, generator=DRAW)
    points, epsilons = torch.rand(3, 3, 4, 4, generator=DRAW), torch.tensor([0.01, 0.1, 0.5])
    together = BALLS[norm](images, epsilons).project(points.clone())
    for row, epsilon in enumerate(epsilons.tolist()):
        alone = BALLS[norm](images[row : row + 1], epsilon).project(points[row : row + 1].clone())
        torch.testing.assert_close(together[row : row + 1], alone)


def test_random_points_are_uniform_in_the_ball():
    """In D = 6 dimensions the D-th power of the radius is uniform, and no direction is preferred."""
    images = torch.full((4000, 3, 2, 1), 0.5, dtype=torch.float64)
    change = L2Ball(images, 0.2).draw(torch.Generator().manual_seed(3)) - images
    radius = L2Ball.size(change)
    assert kstest(((radius / 0.2) ** 6).numpy(), "uniform").pvalue > 0.001
    assert radius.max() <= 0.2 + 1e-12
    assert change.mean(dim=0).abs().max() < 4 * 0.2 / (6 * 4000) ** 0.5
    corner = L2Ball(images.round(), 0.2).draw(torch.Generator().manual_seed(3))
    assert corner.min() >= 0
    assert corner.max() <= 1


@pytest.mark.parametrize("norm", BALLS)
def test_random_points_are_those_of_the_image_whatever_its_batch(norm):
    images = torch.rand(4, 3, 4, 4, generator=DRAW)
    draws = [torch.Generator().manual_seed(seed) for seed in range(4)]
    whole = BALLS[norm](images, 0.1).draw(draws)
    alone = BALLS[norm](images[2:3], 0.1).draw([torch.Generator().manual_seed(2)])
    assert torch.equal(whole[2:3], alone)
