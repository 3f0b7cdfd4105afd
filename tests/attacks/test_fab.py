"""FAB against closed forms, a linear program and the authors' code as it is kept up."""

import numpy as np
import pytest
import torch
from pyautoattack.fab_pt import FABAttack_PT
from scipy.optimize import linprog

from atlpa.attacks import FAB
from atlpa.attacks.fab import to_hyperplane
from tests.attacks.test_pgd import linear


def smallest(point, slope, level):
    """The same projection as a linear program: minimize r with |δ| ≤ r, slope · (x + δ) = level, x + δ in [0, 1]."""
    count = len(point)
    unit, ones = np.eye(count), np.ones((count, 1))
    found = linprog(
        [0] * count + [1],
        A_ub=np.block([[unit, -ones], [-unit, -ones]]),
        b_ub=np.zeros(2 * count),
        A_eq=[[*slope, 0]],
        b_eq=[level - slope @ point],
        bounds=[*zip(-point, 1 - point, strict=True), (0, None)],
    )
    return found.fun if found.success else None


@pytest.mark.parametrize("seed", range(20))
def test_the_projection_is_that_of_a_linear_program(seed):
    """Saturated pixels and pixels without a slope among them; beyond the cube it goes to the corner."""
    draw = torch.Generator().manual_seed(seed)
    points = torch.rand(4, 3, 2, 2, dtype=torch.float64, generator=draw).mul(1.4).sub(0.2).clamp(0, 1)
    slope = torch.randn(4, 3, 2, 2, dtype=torch.float64, generator=draw) * (
        torch.rand(4, 3, 2, 2, generator=draw) > 0.2
    )
    level = (slope * points).sum(dim=(1, 2, 3)) + torch.tensor([-0.3, 0.5, 2.0, -50.0], dtype=torch.float64)
    change = to_hyperplane(points, slope, level)
    assert (points + change).min() >= 0
    assert (points + change).max() <= 1
    for row in range(4):
        flat = [values[row].flatten().numpy() for values in (points, slope, change)]
        expected = smallest(flat[0], flat[1], level[row].item())
        if expected is None:
            corner = np.where(flat[1] * np.sign(level[row].item() - flat[1] @ flat[0]) > 0, 1 - flat[0], flat[0])
            assert abs(flat[1] @ flat[2]) == pytest.approx(np.abs(flat[1]) @ corner)
        else:
            assert np.abs(flat[2]).max() == pytest.approx(expected, abs=1e-9)
            assert flat[1] @ (flat[0] + flat[2]) == pytest.approx(level[row].item(), abs=1e-9)


def test_on_a_linear_model_it_falls_exactly_where_the_boundary_is_within_reach():
    """The distance of a linear boundary is |margin| / ‖w‖₁, as long as no pixel meets its bound on the way."""
    model = linear()
    images = 0.4 + 0.2 * torch.rand(30, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = model(images)
        weight = model[1].weight
    labels = logits.argmax(dim=1)
    gap = logits.gather(1, labels[:, None]).squeeze(1) - logits.gather(1, 1 - labels[:, None]).squeeze(1)
    distance = gap / (weight[0] - weight[1]).abs().sum()
    epsilon = distance.median().item() * 1.06  # the overshoot goes five hundredths beyond the boundary
    found = FAB(epsilon, 20)(model, images, labels)
    fools = model(found).argmax(dim=1) != labels
    assert torch.equal(fools, distance < epsilon)
    assert (found - images).abs().max() <= epsilon + 1e-12


def test_it_fells_what_the_authors_code_fells(small_cnn, images):
    """At each ε as many images, up to one: half of the steps start elsewhere than theirs."""
    model, images = small_cnn.float().eval(), images.float()
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    theirs = FABAttack_PT(model, n_restarts=1, n_iter=40, eps=1.0, device="cpu", n_target_classes=4)
    theirs.targeted = True
    distance = (theirs.perturb(images, labels) - images).abs().amax(dim=(1, 2, 3))
    standing = []
    for epsilon in distance.sort().values[[2, 5, 8]].tolist():
        fell = torch.zeros(12, dtype=torch.bool)
        for target in range(1, 5):
            found = FAB(1.001 * epsilon, 40, target=target)(model, images, labels)
            assert (found - images).abs().max() <= 1.001 * epsilon + 1e-6
            fell |= model(found).argmax(dim=1) != labels
        standing.append(int(fell.sum() - (distance <= 1.001 * epsilon).sum()))
    assert min(standing) >= -1


def test_bad_ranks_are_refused(small_cnn, images, labels):
    assert FAB(target=4).fewest_classes == 5
    with pytest.raises(ValueError, match="target"):
        FAB(target=0)
