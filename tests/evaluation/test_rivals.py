"""Rivals that get past hidden gradients: the values of the model, the gradient of what it hides."""

from functools import partial

import pytest
import torch
from scipy.optimize import linprog
from torch import nn
from torch.nn import functional as F

from atlpa.evaluation.checks.bare_layers import Bare
from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.evaluation.checks.context import CheckContext
from atlpa.evaluation.checks.diagnoses import diagnose, first_order_gap
from atlpa.evaluation.checks.differentiable import Differentiable, Neighbors, own_functions
from atlpa.evaluation.checks.rivals import RIVALS
from tests.gallery import layers
from tests.gallery.honest import SmallTransformer, undefended
from tests.gallery.training import EPSILON, convolutions, digits


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def images(count=4):
    return digits()[2][:count].clone()


def gradient(model, points):
    points = points.clone().requires_grad_(True)
    weights = torch.linspace(-1, 1, 10)
    return torch.autograd.grad((model(points) * weights).sum(), points)[0]


def behind(layer, network):
    return nn.Sequential(layer, network).eval()


class Cut(nn.Module):
    """Five ways to lose a gradient."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        if self.how == "no_grad":
            with torch.no_grad():
                return x + 0
        if self.how == "data":
            return x.data
        if self.how == "in place":
            return (x + 0).mul_(15).round_().div_(15)
        if self.how == "floor":
            return 15 * x // 1 / 15
        return x.detach()


HIDDEN = {
    "rounded": layers.Rounded(15),
    "blocks": layers.Blocks(0.1),
    "sawtooth": layers.Sawtooth(0.005),
    **{how: Cut(how) for how in ("detach", "no_grad", "data", "in place", "floor")},
}


@pytest.mark.parametrize("name", HIDDEN)
def test_the_values_stay_bit_for_bit_and_the_gradient_is_that_behind_the_layer(name):
    """What is behind is linear in the oracle, so that its gradient is its weights wherever it is taken."""
    linear = nn.Sequential(nn.Flatten(), nn.Linear(768, 10))
    hidden, points = behind(HIDDEN[name], linear), 0.5 * images() + 0.25  # where no clamp leaks
    assert torch.equal(Differentiable(hidden)(points), hidden(points))
    torch.testing.assert_close(gradient(Differentiable(hidden), points), gradient(linear, points))


@pytest.mark.parametrize(
    "network",
    [
        convolutions(act=lambda: layers.KWinners(0.1)),
        behind(layers.Thermometer(8), convolutions(24)),
        behind(nn.Identity(), layers.Voting(convolutions(), convolutions())),
        behind(convolutions(), layers.ReverseSigmoid(0.5, 0.1)),
        behind(convolutions(), nn.Softmax(dim=1)),
        SmallTransformer(),
    ],
)
def test_every_image_gets_a_gradient_and_no_value_changes(network):
    network, points = network.eval(), images()
    assert torch.equal(Differentiable(network)(points), network(points))
    found = gradient(Differentiable(network), points)
    assert torch.isfinite(found).all()
    assert (found.flatten(1) != 0).any(dim=1).all()


def test_it_leaves_torch_as_it_was():
    points = torch.rand(3, requires_grad=True)
    Differentiable(layers.Rounded(4))(points)
    assert torch.equal(torch.autograd.grad((4 * points).round().sum(), points)[0], torch.zeros(3))


def test_a_backward_pass_of_its_own_is_named_and_passed():
    network = convolutions().eval()
    hidden, points = behind(layers.Misleading(4), network), images()
    assert [type(node).__name__ for node in own_functions(hidden(points.requires_grad_(True)))] == ["_ChangedBackward"]
    points = points.detach()
    assert not torch.allclose(gradient(Differentiable(hidden), points), gradient(Differentiable(network), points))
    torch.testing.assert_close(
        gradient(Differentiable(hidden, straight=True), points), gradient(Differentiable(network), points)
    )


def test_bare_layers_are_those_with_weights():
    network, points = convolutions().eval(), images()
    filtered = layers.Blocks(0.1)
    hidden = CheckedModel(nn.Sequential(filtered, network, layers.ReverseSigmoid(0.5, 0.1), layers.noise(3.0)).eval())
    bare = Bare(hidden, points[:3])
    torch.testing.assert_close(bare(points), network(filtered(points)))
    torch.testing.assert_close(gradient(bare, points), gradient(network, filtered(points)))
    assert not Bare(CheckedModel(network), points[:3]).differs
    assert not Bare(CheckedModel(network.forward), points[:3]).differs


@pytest.mark.parametrize("hides", [nn.Identity, partial(layers.Rounded, 4), partial(Cut, "detach")])
def test_bare_layers_of_a_vote_are_the_mean_of_its_members(hides):
    """Each has a hidden layer as wide as the logits, which is not its last, whatever hides the gradient behind it; and
    as a vote has no scale, one a thousand times as large need say no more than the others."""
    members = [nn.Sequential(nn.Flatten(), nn.Linear(768, 10), hides(), nn.Linear(10, 10)) for _ in range(3)]
    vote, points = CheckedModel(layers.Voting(*members)), images()
    torch.testing.assert_close(Bare(vote, points[:3])(points), layers.Mean(*members)(points))
    loud = CheckedModel(layers.Voting(nn.Sequential(*members[0], layers.Scaled(1000.0)), *members[1:]))
    one, other = (Bare(model, points[:3], equal=True)(points) for model in (vote, loud))
    torch.testing.assert_close(one, other)
    assert not Bare(CheckedModel(layers.Mean(*members)), points[:3]).differs


def test_neighbors_average_ripples_away():
    """The mean of 1 + 5 cos(ωx) over many periods is 1."""
    linear, points = nn.Sequential(nn.Flatten(), nn.Linear(768, 10)), images(2) * 0.5 + 0.25
    rippled = behind(layers.Ripples(0.002), linear)
    near = torch.stack([gradient(Neighbors(rippled, 0.1), points) for _ in range(400)]).mean(dim=0)
    wanted = gradient(linear, points)
    one, many = (
        F.cosine_similarity(found.flatten(1), wanted.flatten(1)) for found in (gradient(rippled, points), near)
    )
    assert (one < 0.6).all()
    assert (many > 0.95).all()


@pytest.mark.parametrize("name", ["rounded", "blocks", "sawtooth", "detach", "reverse sigmoid", "voting"])
def test_the_rivals_leave_nothing_of_what_hides_an_undefended_network(name):
    network, (points, labels) = undefended(), (part[:24] for part in digits()[2:])
    if name == "reverse sigmoid":
        hidden = behind(network, layers.ReverseSigmoid(0.5, 0.1))
    elif name == "voting":
        hidden = layers.Voting(network)
    else:
        hidden = behind(HIDDEN[name], network)
    context = CheckContext(CheckedModel(hidden), points, labels, EPSILON, None, [])
    left = context.clean
    assert context.pgd_robust.sum() >= 12
    for rival in (rival for make in RIVALS for rival in make(context)):
        left = rival.meet(context, left).stands
    assert not left.any()


def test_the_first_order_gap_is_that_of_a_linear_program():
    generator = torch.Generator().manual_seed(0)
    slope, start, point = (torch.rand(3, 3, 2, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    slope, epsilon = slope - 0.5, 0.2
    point = point.clamp((start - epsilon).clamp(min=0), (start + epsilon).clamp(max=1))
    found = first_order_gap(slope, point, start, epsilon)
    for row in range(3):
        bounds = [(max(0, x - epsilon), min(1, x + epsilon)) for x in start[row].flatten().tolist()]
        best = linprog(-slope[row].flatten().numpy(), bounds=bounds)
        gain = -best.fun - (slope[row] * point[row]).sum().item()
        assert found[row].item() == pytest.approx(gain / (epsilon * slope[row].abs().sum().item()))
    torch.testing.assert_close(first_order_gap(1000 * slope, point, start, epsilon), found)


def test_a_diagnosis_of_a_linear_network():
    """PGD ends in the corner that the gradient points to: nothing is left to gain, and nothing was thrown away."""
    linear = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    points = images(16)
    labels = linear(points).argmax(dim=1)
    found = diagnose(CheckContext(CheckedModel(linear), points, labels, 0.001, None, []))
    assert len(found.gap) == 16
    assert found.gap.max() < 1e-5
    assert not found.thrown_away.any()
    assert "first-order gap 0.00" in str(found)
