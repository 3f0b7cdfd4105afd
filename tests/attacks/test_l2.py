"""L2 attacks against closed forms and the authors' code as it is kept up, and by what must hold of any of them."""

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from scipy.optimize import minimize

from atlpa.attacks import APGD, FAB, FGSM, FMN, PGD, AutoAttack, Ensemble, Square
from atlpa.attacks.fab import to_hyperplane
from atlpa.attacks.objectives import fools, margin
from atlpa.attacks.square_l2 import moved, pyramids
from atlpa.attacks.windows import Windows
from atlpa.evaluation import evaluate
from tests.attacks.test_auto_attack import standing, trained
from tests.attacks.test_pgd import linear

__all__ = ["trained"]
EPSILON = 0.25


def length(change):
    return change.flatten(1).norm(dim=1)


@pytest.fixture
def inner():
    """Images of which no pixel is near 0 or 1."""
    return 0.3 + 0.4 * torch.rand(12, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("attack", "tolerance"),
    [
        (PGD(0.3, 0.1, 9, norm="L2"), 1e-9),
        (PGD(0.3, 0.1, 40, start="uniform", norm="L2"), 1e-5),  # from elsewhere it turns to the optimum step by step
        (APGD(0.3, 40, norm="L2"), 1e-3),
    ],
    ids=["pgd", "pgd-uniform", "apgd"],
)
def test_reaches_the_optimum_of_a_linear_model(attack, tolerance):
    """Two classes: the loss falls with w·x, w = w_true − w_other, so the optimum is x − ε·w/‖w‖₂."""
    model = linear()
    images = 0.4 + 0.2 * torch.rand(6, 3, 4, 4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    weight = (model[1].weight[labels] - model[1].weight[1 - labels]).view_as(images)
    expected = (images - 0.3 * weight / length(weight)[:, None, None, None]).detach()
    found = attack(model, images, labels, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def test_where_pixels_are_stopped_the_optimum_is_reached_all_the_same():
    """Against a fine search over x − t·w cut to [0, 1], which is the optimum's form, with t where ‖δ‖₂ is ε."""
    model, labels = linear(), torch.tensor([0, 1, 0, 1])
    images = torch.rand(4, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).mul(2).sub(0.5)
    images = images.clamp(0, 1)
    weight = (model[1].weight[labels] - model[1].weight[1 - labels]).view_as(images).detach()
    candidates = [(images - t * weight).clamp(0, 1) for t in torch.linspace(0, 2, 8001).tolist()]
    inside = torch.stack([length(one - images) <= 0.8 for one in candidates])
    expected = torch.stack([candidates[int(inside[:, row].sum()) - 1][row] for row in range(4)])
    found = PGD(0.8, 0.2, 30, norm="L2")(model, images, labels)
    assert (length(found - images) <= 0.8 + 1e-9).all()
    assert ((margin(model(found), labels) - margin(model(expected), labels)).abs() < 2e-3).all()


@pytest.fixture
def _float64():
    """The authors' code keeps losses and steps in torch's default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("iterations", [1, 5, 34])
def test_apgd_equals_the_authors_code(small_cnn, inner, iterations):
    """Point by point, where no pixel is stopped: what is projected onto ball and [0, 1] differs there."""
    model = small_cnn.eval()
    labels = model(inner).argmax(dim=1)
    theirs = APGDAttack(model, n_iter=iterations, norm="L2", eps=0.2, loss="ce", device="cpu")
    theirs.init_hyperparam(inner)
    expected, stands, _, _ = theirs.attack_single_run(inner, labels, x_init=inner)
    ours = APGD(0.2, iterations, start="zero", engine="reference", norm="L2")(model, inner, labels)
    assert torch.equal(fools(model(ours), labels), ~stands)
    same = fools(model(ours), labels) == fools(model(expected), labels)
    assert same.sum() > 8
    torch.testing.assert_close(ours[same], expected[same], rtol=0, atol=1e-9)
    assert not torch.equal(ours, inner)


@pytest.mark.parametrize("seed", range(4))
def test_the_projection_onto_a_hyperplane_is_the_shortest_way(seed):
    """As sequential quadratic programming finds it; pixels without slope and saturated ones among them."""
    draw = torch.Generator().manual_seed(seed)
    points = torch.rand(1, 3, 2, 2, dtype=torch.float64, generator=draw).mul(1.4).sub(0.2).clamp(0, 1)
    slope = torch.randn(points.shape, dtype=torch.float64, generator=draw)
    slope *= torch.rand(points.shape, generator=draw) > 0.2
    for missing in (-0.3, 0.5, 1.5):
        level = (slope * points).sum(dim=(1, 2, 3)) + missing
        change = to_hyperplane(points, slope, level, "L2")
        flat, way = points.flatten().numpy(), slope.flatten().numpy()
        found = minimize(
            lambda d: (d**2).sum(),
            0 * flat,
            jac=lambda d: 2 * d,
            bounds=list(zip(-flat, 1 - flat, strict=True)),
            constraints={"type": "eq", "fun": lambda d, m=missing, w=way: w @ d - m, "jac": lambda _, w=way: w},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        if found.success:
            assert length(change).item() == pytest.approx((found.fun) ** 0.5, abs=1e-5)
            assert (slope * change).sum().item() == pytest.approx(missing, abs=1e-6)
        assert (points + change).min() >= 0
        assert (points + change).max() <= 1


def test_fab_fells_what_the_authors_code_fells(small_cnn, inner):
    model, images = small_cnn.float().eval(), inner.float()
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    theirs = FABAttack_PT(model, n_restarts=1, n_iter=30, norm="L2", eps=10.0, device="cpu", n_target_classes=4)
    theirs.targeted = True
    distance = length(theirs.perturb(images, labels) - images)
    epsilon = 1.01 * distance.sort().values[6].item()
    fell = torch.zeros(12, dtype=torch.bool)
    for target in range(1, 5):
        found = FAB(epsilon, 30, target=target, norm="L2")(model, images, labels)
        assert length(found - images).max() <= epsilon * (1 + 1e-6)
        fell |= model(found).argmax(dim=1) != labels
    assert fell.sum() - (distance <= epsilon).sum() >= -1


@pytest.mark.parametrize("side", [3, 4, 5, 7])
def test_pyramids_have_length_one_and_two_halves(side):
    """By their definition pixel by pixel: Σ 1/i² over the rings from a pixel's own to the window's edge."""
    place, images = torch.tensor([[0.3, 0.8], [0.0, 0.99]]), torch.zeros(2, 3, 9, 9)
    windows = Windows.at(place, torch.full((2,), float(side)), images)
    found = pyramids(windows, torch.tensor([False, True]))
    expected = torch.zeros(side, side)
    halves = (range(side // 2), range(side // 2, side))
    for rows, sign in zip(halves, (1, -1), strict=True):
        part = torch.zeros(side, side)
        for row in rows:
            for column in range(side):
                ring = max(abs(row - rows[0] - len(rows) // 2), abs(column - side // 2))
                part[row, column] = sum(1 / (i + 1) ** 2 for i in range(ring, side // 2 + 1))
        expected += sign * part / part.norm()
    expected /= expected.norm()
    for row, pattern in enumerate((expected, expected.T)):
        top, left = (int(number * (9 - side + 1)) for number in place[row].tolist())
        torch.testing.assert_close(found[row, 0, top : top + side, left : left + side], pattern, atol=1e-5, rtol=0)
    assert found.flatten(1).norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_what_is_moved_keeps_its_length_and_leaves_the_second_window_empty():
    draw = torch.Generator().manual_seed(0)
    change = torch.randn(5, 3, 9, 9, generator=draw)
    change = change / length(change)[:, None, None, None]
    first, second = (Windows.at(torch.rand(5, 2, generator=draw), torch.full((5,), 3.0), change) for _ in range(2))
    signs = torch.where(torch.rand(5, 3, 1, 1, generator=draw) < 0.5, 1.0, -1.0)
    found = moved(change, first, second, signs, torch.arange(5) % 2 == 0, 1.0)
    torch.testing.assert_close(length(found), torch.ones(5))
    emptied = (second.inside & ~first.inside).expand_as(change)
    assert (found[emptied] == 0).all()
    untouched = ~(first.inside | second.inside).expand_as(change)
    torch.testing.assert_close(found[untouched], change[untouched])


def test_square_stays_on_its_sphere_and_its_margin_never_falls(small_cnn, inner):
    model = small_cnn.eval()
    labels, heights = model(inner).argmax(dim=1), []
    attack = Square(0.02, 60, norm="L2")
    for iterate in attack.iterates(model, inner, labels, generator=torch.Generator().manual_seed(0)):
        torch.testing.assert_close(length(iterate - inner), torch.full((12,), 0.02, dtype=torch.float64))
        heights.append(margin(model(iterate), labels))
    rises = torch.stack(heights).diff(dim=0)
    assert rises.min() >= 0
    assert (rises > 0).any()


def test_square_fells_about_as_many_as_the_authors_code(small_cnn, inner):
    """Random both: of twelve images at most three apart."""
    model, images = small_cnn.float().eval(), inner.float()
    labels = model(images).argmax(dim=1)
    theirs = SquareAttack(model, norm="L2", n_queries=80, eps=0.17, seed=0, device="cpu", resc_schedule=True)
    ours = Square(0.17, 80, norm="L2")(model, images, labels, generator=torch.Generator().manual_seed(0))
    fell = [fools(model(found), labels).sum().item() for found in (theirs.perturb(images, labels), ours)]
    assert abs(fell[0] - fell[1]) <= 3
    assert fell[1] > 0


def test_the_ensemble_leaves_what_none_of_its_parts_fells(trained, monkeypatch):
    monkeypatch.setattr("atlpa.attacks.ensemble.QUERIES", 60)
    model, images, labels = trained
    result = evaluate(model, images, labels, Ensemble(EPSILON, norm="L2"), keep_adversarial=True)
    robust = result.robust[0, 0]
    assert 0 < robust.sum() < len(images)
    assert torch.equal(robust, standing(model, result.adversarial, labels))
    assert length(result.adversarial - images).max() <= EPSILON * (1 + 1e-6)
    how = {"norm": "L2"}
    for part in (APGD(EPSILON, 50, **how), FAB(EPSILON, 50, **how), Square(EPSILON, 60, **how)):
        assert (robust <= evaluate(model, images, labels, part).robust[0, 0]).all()


def test_autoattack_in_l2(trained):
    model, images, labels = trained
    found = AutoAttack(3.0, norm="L2")(model, images, labels)
    assert not standing(model, found, labels).any()
    assert 1 < length(found - images).max() <= 3.0001


def test_an_evaluation_measures_what_its_attack_measures(small_cnn, images):
    """‖δ‖₂ beside ‖δ‖∞, from the images themselves; and the printed line says which."""
    model, images = small_cnn.float().eval(), images.float()
    labels = model(images).argmax(dim=1)
    result = evaluate(model, images, labels, PGD(0.002, 0.001, 5, norm="L2"), keep_adversarial=True)
    change = result.adversarial - images
    torch.testing.assert_close(result.perturbation.size[0], length(change))
    torch.testing.assert_close(result.perturbation.linf[0], change.abs().amax(dim=(1, 2, 3)))
    budget = result.budget(0)
    assert budget.l2_max == pytest.approx(0.002, abs=1e-6)
    assert budget.l2_mean <= budget.l2_max
    assert budget.linf_max < budget.l2_max
    assert " · ‖δ‖₂ 0.0020" in str(result)
    assert result.perturbation.at_bound[0].max() == pytest.approx(
        (15 / 16) ** 2, abs=0.01
    )  # but for the last row, column


def test_an_attack_that_cheats_in_l2_is_caught(small_cnn, images, labels):
    class Cheat(PGD):
        def ball(self, images):
            return PGD(5 * self.epsilon, norm="L2").ball(images)

    with pytest.raises(ValueError, match=r"the attack pgd moved an image by 0\.5 in L2, further than its ε 0\.1"):
        evaluate(small_cnn, images, labels, Cheat(0.1, 0.1, 9, norm="L2", loss="margin"), source=small_cnn)


@pytest.mark.parametrize("kind", [PGD, APGD, FAB, FMN, Square, Ensemble, AutoAttack])
def test_ranges(kind):
    """In L2 an image may be moved by more than 1, in L∞ it cannot."""
    assert kind(epsilon=3, norm="L2").epsilon == 3
    with pytest.raises(ValueError, match=r"^epsilon: 3 is outside \[0, 1\].*write 3/255"):
        kind(epsilon=3)
    with pytest.raises(ValueError, match="-1 is below 0"):
        kind(epsilon=-1, norm="L2")
    with pytest.raises(ValueError, match="norm"):
        kind(norm="L1")


def test_steps_and_attacks_of_one_norm():
    assert PGD(3, 2, 5, norm="L2").step == 2
    with pytest.raises(ValueError, match=r"^step: 2 is outside \[0, 1\]"):
        PGD(0.5, 2)
    with pytest.raises(ValueError, match="unknown key 'norm'"):
        FGSM(norm="L2")
    assert PGD(0.5, 0.1).at(0.25) == PGD(0.25, 0.05)
    assert PGD(0.5, 0.1).at(1).step == pytest.approx(0.2)
