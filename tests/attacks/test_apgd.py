"""Auto-PGD against the authors' code as it is kept up, and by what must hold of any climb."""

from itertools import pairwise

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import nn

from atlpa.attacks import APGD, OBJECTIVES, PGD
from atlpa.attacks.objectives import targeted_dlr
from atlpa.evaluation import evaluate
from atlpa.model_state import RandomLayer
from tests.attacks.test_pgd import linear

EPSILON = 1 / 16


class Theirs(APGDAttack):
    """Its first rise is one above 0 instead of above the start, which is the same where a loss is always above 0."""

    def dlr_loss(self, logits, labels):
        return super().dlr_loss(logits, labels) + 2


@pytest.fixture
def _float64():
    """The authors' code keeps losses and steps in torch's default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("loss", ["cross_entropy", "dlr"])
@pytest.mark.parametrize("iterations", [1, 2, 3, 5, 10, 34, 100])
def test_equals_the_authors_code(small_cnn, images, loss, iterations):
    """From the image itself, the same points and losses; a last digit may decide between two steps of equal loss."""
    model = small_cnn.eval()
    labels = model(images).argmax(dim=1)
    theirs = Theirs(model, n_iter=iterations, eps=EPSILON, loss={"cross_entropy": "ce"}.get(loss, loss), device="cpu")
    theirs.init_hyperparam(images)
    expected, stands, highest, _ = theirs.attack_single_run(images, labels, x_init=images)
    ours = APGD(EPSILON, iterations, start="zero", loss=loss, engine="reference")(model, images, labels)
    fools = model(ours).argmax(dim=1) != labels
    assert torch.equal(fools, ~stands)
    # Where an image has fallen at a point of lower cross-entropy than one where it stood, ours keeps the former.
    same = fools == (model(expected).argmax(dim=1) != labels)
    found = OBJECTIVES[loss](model(ours), labels) + 2 * (loss == "dlr")
    torch.testing.assert_close(found[same], highest[same], rtol=0, atol=1e-6)
    equal = (ours - expected).abs().amax(dim=(1, 2, 3)) < 1e-9
    assert equal[same].float().mean() > 0.8
    assert equal[same].all() or loss == "dlr"
    assert same.sum() > 8
    assert not torch.equal(ours, images)


class TheirsTargeted(APGDAttack_targeted):
    """As above."""

    def dlr_loss_targeted(self, logits, labels):
        return super().dlr_loss_targeted(logits, labels) + 2


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("target", [1, 2, 4])
def test_aimed_at_a_class_it_equals_the_authors_code(small_cnn, images, target):
    """The class of the k-th largest logit beside the own one; four classes apart from it are all there are."""
    model = small_cnn.eval()
    logits = model(images)
    labels, ranked = logits.argmax(dim=1), logits.argsort(dim=1, descending=True)
    theirs = TheirsTargeted(model, n_iter=20, eps=EPSILON, device="cpu")
    theirs.init_hyperparam(images)
    theirs.y_target = ranked[:, target]
    expected, stands, highest, _ = theirs.attack_single_run(images, labels, x_init=images)
    attack = APGD(EPSILON, 20, start="zero", loss="dlr", target=target, engine="reference")
    ours = attack(model, images, labels)
    fools = model(ours).argmax(dim=1) != labels
    assert torch.equal(fools, ~stands)
    same = fools == (model(expected).argmax(dim=1) != labels)
    found = targeted_dlr(model(ours), labels, ranked[:, target]) + 2
    torch.testing.assert_close(found[same], highest[same], rtol=0, atol=1e-6)
    assert same.sum() > 8
    assert attack.fewest_classes == 5 if target == 4 else 4


@pytest.mark.parametrize("start", ["zero", "uniform"])
@pytest.mark.parametrize("loss", list(OBJECTIVES))
def test_an_iterate_is_the_best_so_far_and_lies_within_the_ball(small_cnn, images, labels, loss, start):
    """Once it fools it goes on to; among those that fool, and among those that do not, the loss never falls."""
    model, images = small_cnn.eval(), images.round(decimals=1)
    attack = APGD(0.1, 12, start=start, loss=loss)
    states = []
    for iterate in attack.iterates(model, images, labels, generator=torch.Generator().manual_seed(0)):
        assert (iterate - images).abs().max() <= 0.1 + 1e-12
        assert iterate.min() >= 0
        assert iterate.max() <= 1
        logits = model(iterate)
        states.append((logits.argmax(dim=1) != labels, OBJECTIVES[loss](logits, labels)))
    assert len(states) == 12
    for (fooled, low), (fools, high) in pairwise(states):
        assert (fools >= fooled).all()
        assert (high >= low - 1e-12)[fools == fooled].all()
    assert (states[-1][1] > states[0][1]).any()


@pytest.mark.parametrize("iterations", [2, 3, 5])
def test_few_steps_suffice_on_a_linear_model(iterations):
    """Two classes: the optimum is a corner of the ball, which the first step of 2ε reaches from anywhere in it."""
    model = linear()
    images, labels = torch.rand(6, 3, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 0, 1])
    direction = (model[1].weight[labels] - model[1].weight[1 - labels]).sign().view_as(images)
    expected = (images - 0.1 * direction).clamp(0, 1).detach()
    adversarial = APGD(0.1, iterations)(model, images, labels, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(adversarial, expected, atol=1e-12, rtol=0)


def peaked(images):
    """Two logits, the first the highest where every pixel is 0.53: steps of 0.1 from 0.5 jump over it."""
    distance = (images - 0.53).square().mean(dim=(1, 2, 3))
    return torch.stack([-distance, distance], dim=1)


def test_steps_become_smaller_where_they_lead_nowhere():
    """From 0.5 with ε 0.1 the peak is inside of the ball: as close as 2·ε halved again and again allows."""
    images, labels = torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64), torch.tensor([1])
    away = [
        (APGD(0.1, iterations, start="zero")(peaked, images, labels) - 0.53).abs().max().item()
        for iterations in (1, 3, 8, 30)
    ]
    assert away[0] == pytest.approx(0.03)  # the first step, to the edge of the ball, is worse than the start
    assert away[0] > away[1] > away[3]
    assert away[3] < 0.002


@pytest.mark.parametrize(
    ("iterations", "checkpoints"),
    [
        (1, []),
        (2, [1]),
        (5, [1, 2, 3, 4]),
        (100, [22, 41, 57, 70, 80, 87, 93, 99]),  # of the paper: 22, 41, 57, 70, 80, 87, 93, 99 %
    ],
)
def test_checkpoints(iterations, checkpoints):
    assert sorted(APGD(iterations=iterations).checkpoints) == checkpoints


def test_what_it_costs(small_cnn, images, labels):
    """Counted at the network: a look at the start and after each step, and no gradient from the last one."""
    passes = {"forwards": 0, "backwards": 0}

    def counted(shown):
        logits = small_cnn.eval()(shown)
        passes["forwards"] += 1
        if logits.requires_grad:
            logits.register_hook(lambda _: passes.__setitem__("backwards", passes["backwards"] + 1))
        return logits

    for attack in (APGD(0.1, 2), APGD(0.1, 3, eot=2)):
        passes |= {"forwards": 0, "backwards": 0}
        attack(counted, images, labels)
        assert passes == attack.cost()._asdict()


def test_white_box_it_leaves_no_more_than_pgd_and_budgets_are_those_of_one_run(small_cnn, images):
    model = small_cnn.eval()
    labels = model(images).argmax(dim=1)
    ours = evaluate(model, images, labels, APGD(0.01, 40, loss="margin"), budgets=(1, 5, 40))
    pgd = evaluate(model, images, labels, PGD(0.01, 0.0025, 40))
    assert (ours.robust[1:] <= ours.robust[:-1]).all()
    assert ours.robust[-1].sum() <= pgd.robust[-1].sum() < 12
    assert ours.perturbation.linf.max() <= 0.01 + 1e-6


def test_the_frozen_copy_and_the_callers_modes(small_cnn, images, labels):
    """In training mode, under no_grad or inference mode: the same images, from a copy as from the model itself."""
    model = small_cnn.float().train()
    images = images.float()
    attack = APGD(0.1, 20, start="zero")
    expected = APGD(0.1, 20, start="zero", engine="reference")(model.eval(), images, labels)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            found = attack(model.train(), images.clone(), labels.clone())
        assert model.training
        losses = [OBJECTIVES["cross_entropy"](model.eval()(shown.clone()), labels) for shown in (found, expected)]
        torch.testing.assert_close(*losses, rtol=1e-2, atol=1e-3)


def test_draws_of_a_randomized_model_are_averaged(images, labels):
    """Of a gradient that is mostly noise, many draws find the way that one does not."""
    weight = torch.randn(3 * 16 * 16, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def noisy(shown, generators):
        from atlpa.randomness import sample

        return shown * (1 + 3 * sample(shown, torch.randn, generators))

    model = nn.Sequential(RandomLayer(noisy, in_training=True), nn.Flatten(), nn.Linear(768, 5)).double()
    model[2].weight.data = weight.T / 30

    def loss(eot):
        found = APGD(0.1, 10, eot=eot)(model, images, labels, generator=torch.Generator().manual_seed(1))
        return OBJECTIVES["margin"](model[2](found.flatten(1)), labels).mean()

    assert loss(20) > loss(1)
