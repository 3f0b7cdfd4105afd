"""What hides a gradient may be written in many ways: the rivals get past all of them, and none ends the checks."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from atlpa.evaluation import CHECKS, credibility
from atlpa.evaluation.checks.bare_layers import Bare
from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.evaluation.checks.context import CheckContext
from atlpa.evaluation.checks.differentiable import Differentiable
from tests.gallery import layers
from tests.gallery.honest import undefended
from tests.gallery.training import EPSILON, digits

LEVELS = 15
THRESHOLDS = torch.arange(LEVELS) / LEVELS + 0.5 / LEVELS


class Written(nn.Module):
    """A function of somebody's, before or behind a network."""

    def __init__(self, network, before=torch.clone, behind=torch.clone):
        super().__init__()
        self.network, self.first, self.then = network, before, behind

    def forward(self, images):
        return self.then(self.network(self.first(images)))


def into(x):
    return (x * LEVELS).round()


ROUNDED = {
    "round": lambda x: into(x) / LEVELS,
    "by keyword": lambda x: torch.round(input=x * LEVELS) / LEVELS,
    "special": lambda x: torch.special.round(x * LEVELS) / LEVELS,
    "int": lambda x: into(x).int().float() / LEVELS,
    "long": lambda x: into(x).long() / LEVELS,
    "byte": lambda x: into(x).byte().float() / LEVELS,
    "to": lambda x: into(x).to(torch.uint8).to(x.dtype) / LEVELS,
    "type": lambda x: into(x).type(torch.int16).type(x.dtype) / LEVELS,
    "whole numbers": lambda x: ((into(x).int() * 2 + 6) // 2 - 3).float() / LEVELS,
    "in place": lambda x: (x * LEVELS).round_().div_(LEVELS),
}


def gradient(model, points):
    points = points.clone().requires_grad_(True)
    return torch.autograd.grad(model(points).sum(), points)[0]


@pytest.mark.parametrize("how", ROUNDED)
def test_rounding_has_one_gradient_however_it_is_written(how):
    points = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    written = ROUNDED[how]
    torch.testing.assert_close(Differentiable(written)(points), ROUNDED["round"](points))
    torch.testing.assert_close(gradient(Differentiable(written), points), torch.ones_like(points))


def assigned(x):
    x = x * 1.0
    x[x < 0.5] = 0.25
    return x


CUT = {
    "where": lambda x: torch.where(x >= 0.5, x, 0.25 * torch.ones_like(x)),
    "method": lambda x: x.where(x >= 0.5, 0.25 * torch.ones_like(x)),
    "assigned": assigned,
    "filled": lambda x: x.masked_fill(x < 0.5, 0.25),
}


@pytest.mark.parametrize("how", CUT)
def test_what_is_replaced_by_a_constant_keeps_its_gradient(how):
    points = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Differentiable(CUT[how])(points), CUT["where"](points))
    torch.testing.assert_close(gradient(Differentiable(CUT[how]), points), torch.ones_like(points))


@pytest.mark.parametrize(
    "count", [lambda x: torch.bucketize(x, THRESHOLDS), lambda x: torch.searchsorted(THRESHOLDS, x)]
)
def test_counted_levels_lead_somewhere(count):
    points = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Differentiable(count)(points), count(points))
    assert (gradient(Differentiable(lambda x: count(x).float() / LEVELS), points) > 0).all()


@pytest.mark.parametrize(
    "cut", [nn.ReLU(inplace=True), lambda x: F.hardtanh_(x, -1, 1), lambda x: F.relu(x, inplace=True)]
)
def test_what_works_in_place_works_in_place(cut):
    """The tensor itself is changed: what is added to the result is the cut one too."""
    points = 4 * torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 2

    def twice(x):
        x = x * 1.0
        return cut(x) + x

    assert torch.equal(Differentiable(twice)(points), twice(points))


def context(model, count=24):
    points, labels = (part[:count] for part in digits()[2:])
    return CheckContext(CheckedModel(model), points, labels, EPSILON, None, [])


@pytest.mark.parametrize("how", ["round", "int", "to", "whole numbers"])
def test_the_stand_ins_leave_as_little_however_it_is_written(how):
    asked = context(Written(undefended(), before=ROUNDED[how]))
    assert asked.pgd_robust.sum() >= 12
    assert CHECKS["stand-ins"](asked).status == "fail"
    assert not asked.standing.stands.any()


def by_numpy(x):
    return torch.from_numpy((x.detach().cpu().numpy() * LEVELS).round() / LEVELS).float()


class Parts(nn.Module):
    """One image after another, and a softmax over all."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return torch.cat([self.network(image[None]) for image in images]).softmax(dim=1)


class Raising(nn.Module):
    """Bears what an evaluation does, and nothing else."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        if torch.is_grad_enabled() and torch.overrides._len_torch_function_stack():
            raise RuntimeError("not so")
        with torch.no_grad():
            return self.network(images).softmax(dim=1)


class Unused(nn.Module):
    """An auxiliary head that the logits are not made of."""

    def __init__(self, network):
        super().__init__()
        self.other, self.network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 10)), network

    def forward(self, images):
        self.other(images)
        return self.network(images).softmax(dim=1)


STRANGE = {
    "numpy": lambda: Written(undefended(), before=by_numpy),
    "no_grad": lambda: Raising(undefended()),
    "parts": lambda: Parts(undefended()),
    "detached": lambda: Written(undefended(), before=torch.Tensor.detach, behind=nn.Softmax(dim=1)),
}


BLIND, LOST, FELLED = "no gradient comes through here either", "does not bear it: not so", "8 of 8 fall"


@pytest.mark.parametrize(
    ("how", "check", "status", "said"),
    [
        ("numpy", "neighbors", "skip", BLIND),
        ("numpy", "stand-ins", "skip", BLIND),
        ("numpy", "bare layers", "skip", "no layers without weights"),
        ("no_grad", "neighbors", "skip", BLIND),
        ("no_grad", "stand-ins", "skip", LOST),
        ("no_grad", "bare layers", "skip", LOST),
        ("parts", "bare layers", "skip", "too few to tell"),
        ("detached", "neighbors", "skip", BLIND),
        ("detached", "stand-ins", "fail", FELLED),
        ("detached", "bare layers", "fail", f"{FELLED}; left out, since the model does not bear it"),
    ],
)
def test_no_network_ends_the_checks(how, check, status, said):
    """What does not fit is left out and said; and what no gradient comes through is not said to pass."""
    found = CHECKS[check](context(STRANGE[how]().eval(), 8))
    assert found.status == status
    assert said in found.measured


def test_bare_layers_of_a_batch_in_parts_and_beside_a_head_that_nothing_is_made_of():
    network, points = undefended(), digits()[2][:8]
    for model in (Parts(network), Unused(network).eval()):
        bare = Bare(CheckedModel(model), points[:3])
        torch.testing.assert_close(bare(points), network(points), rtol=1e-4, atol=1e-4)


def test_what_is_left_of_a_model_that_reads_otherwise_is_no_core_of_it():
    """Its last layer says which class an image is least of all, and a sign behind it turns that round."""
    turned = copy.deepcopy(undefended())
    last = [layer for layer in turned.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.neg_()
        last.bias.neg_()
    asked = context(nn.Sequential(turned, layers.Scaled(-1.0)).eval(), 8)
    assert Bare(asked.model, asked.images[:3]).differs
    assert CHECKS["bare layers"](asked).status == "skip"


def test_it_judges_within_somebodys_inference_mode():
    with torch.inference_mode():
        points, labels = (part[:8].clone() for part in digits()[2:])
        judged = credibility(undefended(), points, labels, EPSILON, checks=["neighbors", "stand-ins"])
    assert judged.standing.correct == (8 * "0",)
