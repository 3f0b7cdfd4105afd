"""Distances against closed forms and against evaluations at every single ε."""

import math

import pytest
import torch

from atlpa.attacks import APGD, BALLS, FAB, FMN, PGD, Ensemble, Noise, Square
from atlpa.evaluation import distances, evaluate
from atlpa.evaluation.distances import GRID, default_attack
from atlpa.model_state import RandomLayer
from tests.attacks.test_pgd import linear

DUAL = {"Linf": 1, "L2": 2}
SHORT = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016]


@pytest.fixture
def case(small_cnn, images):
    """A network, images and labels of which it gets all but two right."""
    model = small_cnn.float().eval()
    images = images.float()
    labels = model(images).argmax(dim=1)
    labels[:2] = (labels[:2] + 1) % 5
    return model, images, labels


def exact(norm):
    """A linear model, images that no pixel bound is near, and their distances."""
    model = linear()
    images = 0.4 + 0.2 * torch.rand(20, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    logits, weight = model(images).detach(), (model[1].weight[0] - model[1].weight[1]).detach()
    return model, images, logits.argmax(dim=1), (logits[:, 0] - logits[:, 1]).abs() / weight.norm(p=DUAL[norm])


@pytest.mark.parametrize("norm", BALLS)
def test_on_a_linear_model_every_distance_lies_within_one_step_of_the_grid(norm):
    model, images, labels, expected = exact(norm)
    found = distances(model, images, labels, default_attack(norm)).values
    ratio = GRID[norm][1] / GRID[norm][0]
    assert (found >= expected * (1 - 1e-6)).all()
    assert (found <= (expected * ratio).clamp(min=GRID[norm][0])).all()


@pytest.mark.parametrize("attack", [PGD(0.1, 0.02, 8), Square(0.1, 30), APGD(0.1, 8, norm="L2")], ids=lambda a: a.name)
def test_at_each_epsilon_it_says_what_an_evaluation_there_says(case, attack):
    """Random starts too, which belong to the image; where a verdict falls as ε grows."""
    result = distances(*case, attack, epsilons=SHORT)
    single = torch.stack([evaluate(*case, attack.at(epsilon)).robust[0, 0] for epsilon in SHORT])
    ordered = (single[1:] <= single[:-1]).all(dim=0)
    assert ordered.sum() > 9
    for epsilon, stands in zip(SHORT, single, strict=True):
        assert torch.equal((result.values > epsilon)[ordered], stands[ordered])
    assert 0 < single[-1].sum() + single[0].sum() < 24


def test_the_images_that_it_speaks_of_exist(case):
    """Every distance below infinity is that of an image that fools: attacked again at that ε, it falls."""
    model, images, labels = case
    attack = PGD(0.1, 0.02, 8, loss="margin")
    result = distances(model, images, labels, attack, epsilons=SHORT)
    for row, value in enumerate(result.values.tolist()):
        if 0 < value < math.inf:
            epsilon = min(one for one in SHORT if one >= value)
            assert not evaluate(model, images[[row]], labels[[row]], attack.at(epsilon)).robust.any()
    assert (result.values == 0).tolist() == [True, True] + 10 * [False]


@pytest.mark.parametrize("norm", BALLS)
def test_the_nearest_are_found_in_one_run(norm):
    model, images, labels, expected = exact(norm)
    for attack in (FMN(iterations=120, norm=norm), FAB(iterations=20, norm=norm)):
        result = distances(model, images, labels, attack, epsilons=[0.1, 1.0], batch_size=7)
        torch.testing.assert_close(result.values, expected, rtol=0.02, atol=0)
        assert result.passes == 20 * (attack.iterations + 1)
    limit = expected.median().item()
    cut = distances(model, images, labels, FMN(iterations=60, norm=norm), epsilons=[limit / 2, limit * 1.02]).values
    assert torch.equal(cut < math.inf, expected <= limit * 1.02) or (cut < math.inf).sum() >= 9


def test_stronger_attacks_come_nearer(case, monkeypatch):
    monkeypatch.setattr("atlpa.attacks.ensemble.QUERIES", 20)
    model, images, labels = case
    few, grid = (model, images[2:8], labels[2:8]), SHORT[2:4]
    weak = distances(*few, PGD(0.1, 0.1, 1), epsilons=grid).values
    strong = distances(*few, Ensemble(), epsilons=grid).values
    assert (strong <= weak).all()
    assert (strong < weak).any()


def test_accuracies_never_rise_and_the_line_says_what_was_found(case):
    result = distances(*case, epsilons=SHORT)
    shares = [result.accuracy(epsilon).value for epsilon in (0, *SHORT, 0.5)]
    assert shares[0] == pytest.approx(10 / 12)
    assert shares == sorted(shares, reverse=True)
    assert result.accuracy(0.002).value == pytest.approx((result.values > 0.002).float().mean().item())
    ranked = sorted(result.values.tolist())
    assert result.median.value == pytest.approx((ranked[5] + ranked[6]) / 2)
    assert (result.median.low, result.median.high) == (ranked[2], ranked[9])
    assert str(result).startswith(f"median ‖δ‖∞ {result.median} of 12 · clean 83.3 % · at ε 0.016 ")


def test_progress_counts_every_image_once(case):
    for attack in (PGD(0.1, 0.02, 2), FMN(iterations=3)):
        counted = []
        distances(*case, attack, epsilons=SHORT, progress=counted.append)
        assert sum(counted) == 12


def test_any_callable_will_do_and_is_left_as_found(case):
    model, images, labels = case
    model.train()
    expected = distances(model, images, labels, epsilons=SHORT).values
    assert model.training

    def callable_(shown):
        return model.eval()(shown)

    found = distances(callable_, images.numpy(), labels.numpy(), epsilons=SHORT).values
    assert torch.equal(found, expected)


def drawing(model):
    return torch.nn.Sequential(RandomLayer(lambda shown, _: shown, in_training=True), model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epsilons": [0.1]}, "1 ε; give at least two, ascending"),
        ({"epsilons": [0.1, 0.05]}, "ε 0.05 follows 0.1; give them ascending"),
        ({"epsilons": [0.1, 0.1]}, "ε 0.1 follows 0.1"),
        ({"epsilons": [0, 0.1]}, "ε from 0 to 0.1; give some above 0"),
        ({"epsilons": [0.1, math.nan]}, "ε nan follows 0.1"),
        ({"epsilons": [0.1, math.inf]}, "ε from 0.1 to inf"),
        ({"epsilons": [0.5, 1.5]}, "ε up to 1.5; in L∞ give some of at most 1"),
        ({"attack": Noise(0.1)}, "noise cannot be followed step by step; give pgd"),
        ({"attack": FMN(precision="bf16")}, "fmn in half precision, which judges no image; give precision fp32"),
        ({"attack": "pgd"}, "the attack is 'pgd'; give one"),
        ({"model": drawing}, "the model draws, so that whether an image falls is chance"),
        ({"labels": None}, "labels are missing"),
    ],
)
def test_what_gives_no_distances(case, change, words):
    model, images, labels = case
    change = dict(change)
    model = change.pop("model", lambda model: model)(model)
    call = {"images": images, "labels": labels, "epsilons": SHORT} | change
    with pytest.raises(ValueError, match=words):
        distances(model, **call)
