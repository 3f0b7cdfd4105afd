"""Certified margins against closed forms, linear programs over every pattern of ReLUs, grids, corners and samples."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn
from torch.nn import functional as F

from atlpa.bounds import NoBound, certify
from atlpa.models import Classifier, InputNoise, ModelSpec
from tests.bounds.networks import CLASSES, MAKERS, network

METHODS = ("ibp", "crown")


@pytest.fixture
def images():
    """Six images of 4×4; some pixels are at the ends of [0, 1]."""
    return torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(1)).mul(1.2).sub(0.1).clamp(0, 1)


def predicted(model, images):
    with torch.no_grad():
        return model(images).argmax(dim=1)


def leads(logits, labels):
    """z_y − z_j, infinite for y itself."""
    return (logits.gather(1, labels[:, None]) - logits).scatter(1, labels[:, None], torch.inf)


def in_ball(images, epsilon, count):
    """Random images of the ball, half of them corners."""
    torch.manual_seed(3)
    change = torch.rand(count, *images.shape) * 2 - 1
    change[::2] = change[::2].sign()
    return (images + epsilon * change).clamp(0, 1)


@pytest.mark.parametrize("method", METHODS)
def test_of_a_linear_network_they_are_exact(images, method):
    """min over the box of w·x is w·c − |w|·r, with center and radius of the box cut off at 0 and 1."""
    model, epsilon = network("linear"), 0.07
    labels = predicted(model, images)
    weight = (model[2].weight @ model[1].weight).double()
    bias = (model[2].weight @ model[1].bias + model[2].bias).double()
    low, high = ((images.double() + move).clamp(0, 1).flatten(1) for move in (-epsilon, epsilon))
    rows = weight[labels][:, None] - weight  # (B, C, 48)
    exact = (rows @ ((low + high) / 2)[..., None])[..., 0] - (rows.abs() @ ((high - low) / 2)[..., None])[..., 0]
    exact += bias[labels][:, None] - bias
    found = certify(model, images, labels, epsilon, method)
    expected = exact.scatter(1, labels[:, None], torch.inf)
    assert torch.allclose(found.margins, expected, atol=1e-4)
    assert torch.equal(found.certified, expected.amin(dim=1) > 1e-4)


def test_two_layers_by_hand():
    """x in [0.2, 0.4]: h = relu((x₁ − x₂, x₁ + x₂ − 0.7)) is in [0, 0.2] × [0, 0.1], and z = (h₁ + h₂, 1 − h₂).

    The margin of class 1 is 1 − h₁ − 2 h₂ ≥ 1 − 0.2 − 0.2 = 0.6 by intervals. By lines, h₁ ≤ ½ (x₁ − x₂ + 0.2),
    and h₂ ≤ ¼ (x₁ + x₂ − 0.4), since x₁ + x₂ − 0.7 is in [−0.3, 0.1]. So it is at least 1 − x₁ − 0.1 + 0.2 ≥ 0.7.
    """
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, -1, 0], [1, 1, 0]]))
        model[1].bias.copy_(torch.tensor([0.0, -0.7]))
        model[3].weight.copy_(torch.tensor([[1.0, 1], [0, -1]]))
        model[3].bias.copy_(torch.tensor([0.0, 1]))
    image, label = torch.full((1, 3, 1, 1), 0.3, dtype=torch.float64), torch.tensor([1])
    assert certify(model, image, label, 0.1, "ibp").margins[0, 0].item() == pytest.approx(0.6, abs=1e-5)
    assert certify(model, image, label, 0.1, "crown").margins[0, 0].item() == pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_below_the_exact_margin_of_linear_programs(seed):
    """For each of the 2⁴ patterns of ReLUs the least margin is a linear program; the least of all is the truth."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    image, epsilon = torch.rand(1, 3, 1, 1, dtype=torch.float64), 0.3
    labels = predicted(model, image)
    first, last = model[1], model[3]
    x = image.flatten().numpy()
    bounds = list(zip(np.clip(x - epsilon, 0, 1), np.clip(x + epsilon, 0, 1), strict=True))
    w, b = first.weight.detach().numpy(), first.bias.detach().numpy()
    for other in set(range(3)) - {labels.item()}:
        rows = (last.weight[labels.item()] - last.weight[other]).detach().numpy()
        offset = (last.bias[labels.item()] - last.bias[other]).item()
        least = np.inf
        for pattern in itertools.product((0.0, 1.0), repeat=4):
            on = np.array(pattern)
            sign = (1 - 2 * on)[:, None]  # w x + b ≥ 0 where on, ≤ 0 where off
            solved = linprog((rows * on) @ w, A_ub=sign * w, b_ub=-sign[:, 0] * b, bounds=bounds)
            if solved.success:
                least = min(least, solved.fun + (rows * on) @ b + offset)
        ibp, crown = (certify(model, image, labels, epsilon, how).margins[0, other].item() for how in METHODS)
        assert ibp <= crown <= least + 1e-6
        assert crown > least - 1.0  # a bound, and no mere −∞


@pytest.mark.parametrize("method", METHODS)
def test_while_no_relu_changes_its_sign_crown_is_exact(images, method):
    """There the network is linear, with its gradients as rows."""
    model, epsilon = network("plain").double(), 1e-5
    model[3] = nn.AvgPool2d(2)
    images = images.double().clamp(0.1, 0.9)
    labels = predicted(model, images)
    margins = certify(model, images, labels, epsilon, method).margins
    for image, label, found in zip(images, labels, margins, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: model(x[None])[0], image).flatten(1)
        rows, logits = jacobian[label] - jacobian, model(image[None])[0]
        exact = logits[label] - logits - (epsilon + 2**-23) * rows.abs().sum(dim=1)
        assert (found <= exact + 1e-12)[torch.arange(CLASSES) != label].all()
        if method == "crown":
            assert torch.allclose(found.nan_to_num(posinf=0), exact, atol=1e-9)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("epsilon", [0.002, 0.05, 0.4])
def test_no_image_of_the_ball_has_a_smaller_margin(images, name, epsilon):
    model = network(name)
    labels = predicted(model, images)
    ibp, crown = (certify(model, images, labels, epsilon, method) for method in METHODS)
    for moved in in_ball(images, epsilon, 64):
        with torch.no_grad():
            found = leads(model(moved), labels).double()
        assert (found >= crown.margins - 1e-5).all()
    assert (crown.margins >= ibp.margins).all()
    assert (crown.certified >= ibp.certified).all()
    assert torch.isfinite(ibp.margins).sum() == 6 * (CLASSES - 1)


@pytest.mark.parametrize("name", ["plain", "deep", "joined"])
def test_a_search_finds_margins_not_far_above(images, name):
    """They are no mere −∞: the steepest descent of a margin, an upper bound of the least, comes near."""
    model, epsilon = network(name), 0.004
    labels = predicted(model, images)
    point = images.clone()
    for _ in range(30):
        point.requires_grad_(True)
        loss = leads(model(point), labels).amin(dim=1).sum()
        (gradient,) = torch.autograd.grad(loss, point)
        point = (point - 0.002 * gradient.sign()).detach()
        point = torch.maximum(torch.minimum(point, images + epsilon), images - epsilon).clamp(0, 1)
    found = leads(model(point), labels).amin(dim=1).detach()
    start = leads(model(images), labels).amin(dim=1).detach()
    least = certify(model, images, labels, epsilon).margins.amin(dim=1)
    assert ((found - least) <= 3 * (start - found) + 1e-3).all()


def test_on_a_grid_of_three_inputs():
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    image, epsilon = torch.tensor([0.02, 0.5, 0.9]).view(1, 3, 1, 1), 0.15
    labels = predicted(model, image)
    sides = [torch.linspace(max(0, x - epsilon), min(1, x + epsilon), 21) for x in image.flatten().tolist()]
    grid = torch.cartesian_prod(*sides).view(-1, 3, 1, 1)
    with torch.no_grad():
        least = leads(model(grid), labels.expand(len(grid))).amin()
    for method in METHODS:
        assert certify(model, image, labels, epsilon, method).margins.amin() <= least + 1e-6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["plain", "residual", "tanh"])
def test_a_larger_ball_has_no_larger_margin(images, name, method):
    model = network(name)
    labels = predicted(model, images)
    found = [certify(model, images, labels, epsilon, method).margins for epsilon in (0, 1e-4, 1e-3, 0.01, 0.1, 1)]
    lowest = [margins.amin(dim=1) for margins in found]
    if method == "ibp":  # the lines of CROWN may change with the ball
        assert all((larger <= smaller + 1e-9).all() for smaller, larger in itertools.pairwise(lowest))
    assert torch.allclose(found[0].float(), leads(model(images), labels).detach(), atol=1e-4)
    assert all((margins <= found[0] + 1e-9).all() for margins in found)


def test_a_resnet_can_be_followed():
    """At no distance its margins are those of its logits; at 1/255 they say nothing, as of any deep network."""
    model = ModelSpec(architecture="resnet18", weights="none").build(CLASSES, seed=0).eval()
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = predicted(model, image)
    found = certify(model, image, labels, 0.0, "ibp")
    assert torch.allclose(found.margins.float(), leads(model(image), labels).detach(), atol=1e-4)
    assert found.certified.all()
    assert not certify(model, image, labels, 1 / 255, "ibp").certified.any()


@pytest.mark.parametrize("method", METHODS)
def test_an_image_that_is_wrong_is_not_certified(images, method):
    model = network("plain")
    labels = (predicted(model, images) + 1) % CLASSES
    assert not certify(model, images, labels, 0.0, method).certified.any()


def test_a_tie_is_not_certified(images):
    """Equal logits are no lead, however steady they are."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, CLASSES))
    nn.init.zeros_(model[1].weight)
    nn.init.ones_(model[1].bias)
    assert not certify(model, images, torch.zeros(6, dtype=torch.long), 0.1).certified.any()


def test_the_model_is_left_as_found(images):
    model = network("residual")
    model.norm.train()
    model.head.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    labels = predicted(network("residual"), images)
    found = certify(model, images, labels, 0.01)
    assert [name for name, module in model.named_modules() if module.training] == ["norm"]
    assert [name for name, value in model.named_parameters() if not value.requires_grad] == ["head.weight", "head.bias"]
    assert all(value.grad is None for value in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(found.margins, certify(network("residual"), images, labels, 0.01).margins)


def test_images_do_not_depend_on_their_batch(images):
    model = network("joined")
    labels = predicted(model, images)
    whole = certify(model, images.repeat(4, 1, 1, 1), labels.repeat(4), 0.03).margins
    with torch.inference_mode():
        each = torch.cat([certify(model, images[[i]], labels[[i]], 0.03).margins for i in range(6)])
    assert torch.allclose(whole, each.repeat(4, 1), atol=1e-9)


class Attends(nn.Module):
    def forward(self, x):
        return (x.flatten(2) @ x.flatten(2).transpose(1, 2)).flatten(1)


class Branches(nn.Module):
    def forward(self, x):
        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)


class Counts(nn.Module):
    """Another path each time that it is called."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x.flatten(1) * (1 if self.calls == 1 else 2)


class Multiplies(nn.Module):
    def forward(self, x):
        return (x * x).flatten(1)


def hooked():
    model = nn.Sequential(nn.Flatten())
    model[0].register_forward_hook(lambda _module, _inputs, output: -output)
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Flatten(), nn.Softmax(dim=1)), "no bound is known of Softmax (1)"),
        (nn.Sequential(nn.Conv2d(3, 3, 1, padding_mode="circular"), nn.Flatten()), "Conv2d (0): padding_mode circular"),
        (nn.Sequential(nn.GELU(), nn.Flatten()), "GELU (0)"),
        (nn.Sequential(nn.LeakyReLU(-1.0), nn.Flatten()), "LeakyReLU (0): a slope of -1"),
        (nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten()), "statistics of the batch"),
        (Attends(), "matmul (in the network)"),
        (nn.Sequential(nn.Identity(), Multiplies()), "mul (in 1): a product of two values"),
        (Branches(), "its code cannot be followed"),
        (Counts(), "differ from its own"),
        (hooked(), "it has hooks"),
        (nn.Conv2d(3, 3, 1), "it gives no logits (B, C)"),
        (Classifier(nn.Flatten(), noise=InputNoise()), "RandomLayer (noise)"),
        (lambda x: x.flatten(1), "given a function"),
    ],
)
def test_what_has_no_bound_is_refused_by_name(images, model, words):
    labels = torch.zeros(6, dtype=torch.long)
    with pytest.raises(NoBound) as refused:
        certify(model, images, labels, 0.01)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_in_place_relu_reaches_whoever_reads_its_input(images):
    """x.relu_() without its result: what follows meets x ≥ 0."""

    class Discards(nn.Module):
        def forward(self, x):
            x = x - 0.5
            F.relu(x, inplace=True)
            return x.flatten(1)[:, :2] * torch.tensor([1.0, -1.0]) + torch.tensor([0.1, 0.0])

    found = certify(Discards(), images, torch.zeros(6, dtype=torch.long), 1.0, "ibp")
    assert found.margins[:, 1].numpy() == pytest.approx(0.1, abs=1e-6)
    assert found.certified.all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epsilon": 8}, "epsilon 8 is outside [0, 1]"),
        ({"method": "lp"}, "bounds are ibp and crown"),
        ({"images": torch.full((6, 3, 4, 4), 255.0)}, "give some, as floats in [0, 1]"),
        ({"images": torch.full((6, 3, 4, 4), torch.nan)}, "give some, as floats in [0, 1]"),
        ({"labels": torch.zeros(5, dtype=torch.long)}, "one class for each image"),
        ({"labels": torch.full((6,), -1)}, "one class for each image"),
        ({"labels": torch.full((6,), CLASSES)}, "labels are counted from 0"),
    ],
)
def test_bad_input_is_one_line(images, changes, words):
    given = {"images": images, "labels": torch.zeros(6, dtype=torch.long), "epsilon": 0.1, "method": "ibp"} | changes
    with pytest.raises(ValueError, match=r"^[^\n]*$") as refused:
        certify(network("linear"), **given)
    assert words in str(refused.value)
