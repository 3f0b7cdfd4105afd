"""PGD against closed forms, an independent library, and what its users stumble over elsewhere."""

import copy

import pytest
import torch
import torchattacks
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import FGSM, PGD
from atlpa.randomness import generator


def linear(classes=2, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, classes)).double()


@pytest.mark.parametrize("start", ["zero", "uniform"])
@pytest.mark.parametrize("epsilon", [0.03, 0.5])
def test_reaches_the_optimum_of_a_linear_model(start, epsilon):
    """Two classes: the loss falls with w·x, w = w_true − w_other, so the optimum is clip(x − ε·sign(w))."""
    model = linear()
    images, labels = torch.rand(6, 3, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 0, 1])
    weight = model[1].weight
    direction = (weight[labels] - weight[1 - labels]).sign().view_as(images)
    expected = (images - epsilon * direction).clamp(0, 1).detach()
    adversarial = PGD(epsilon=epsilon, step=epsilon / 4, iterations=9, start=start)(model, images, labels)
    torch.testing.assert_close(adversarial, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("iterations", [1, 7])
def test_equals_torchattacks(small_cnn, images, labels, iterations):
    model = small_cnn.eval()
    ours = PGD(epsilon=8 / 255, step=2 / 255, iterations=iterations)(model, images, labels)
    theirs = torchattacks.PGD(model, eps=8 / 255, alpha=2 / 255, steps=iterations, random_start=False)(images, labels)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    assert not torch.equal(ours, images)


def test_fgsm_equals_torchattacks(small_cnn, images, labels):
    model = small_cnn.eval()
    theirs = torchattacks.FGSM(model, eps=0.1)(images, labels)
    torch.testing.assert_close(FGSM(0.1)(model, images, labels), theirs, atol=1e-6, rtol=0)


def snapshot(model):
    return {
        "modes": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "state": copy.deepcopy(model.state_dict()),
        "hooks": [len(module._forward_hooks) for module in model.modules()],
    }


def test_leaves_the_model_exactly_as_found(small_cnn, images, labels):
    """A user's own mixture of modes, frozen parameters and gradients survives, also when the model fails."""
    small_cnn.train()
    small_cnn[1].eval()
    small_cnn[0].weight.requires_grad_(False)
    small_cnn[5].weight.grad = torch.ones_like(small_cnn[5].weight)
    before = snapshot(small_cnn)
    PGD(epsilon=0.1, step=0.05, iterations=3, start="uniform", restarts=2)(small_cnn, images, labels)
    with pytest.raises(RuntimeError):
        PGD(iterations=1)(small_cnn, images[:, :2], labels)
    for iterate in PGD(iterations=2).iterates(small_cnn, images, labels):
        assert snapshot(small_cnn)["modes"] == before["modes"]  # between steps as well
        assert not iterate.requires_grad
    after = snapshot(small_cnn)
    assert after["modes"] == before["modes"]
    assert after["requires_grad"] == before["requires_grad"]
    assert after["hooks"] == before["hooks"]
    for old, new in zip(before["grads"], after["grads"], strict=True):
        assert (old is None and new is None) or torch.equal(old, new)
    for name, value in before["state"].items():
        assert torch.equal(value, after["state"][name]), name


def test_the_model_is_attacked_in_evaluation_mode(small_cnn, images, labels):
    in_training_mode = PGD(iterations=3)(small_cnn.train(), images, labels)
    assert torch.equal(in_training_mode, PGD(iterations=3)(small_cnn.eval(), images, labels))


@pytest.mark.parametrize("start", ["zero", "uniform"])
def test_stays_within_epsilon_and_the_pixel_range(small_cnn, images, labels, start):
    images = images.round()  # many pixels at 0 and 1
    for iterate in PGD(epsilon=0.3, step=0.2, iterations=4, start=start).iterates(small_cnn, images, labels):
        assert (iterate - images).abs().max() <= 0.3 + 1e-12
        assert iterate.min() >= 0
        assert iterate.max() <= 1


def test_epsilon_zero_changes_nothing(small_cnn, images, labels):
    assert torch.equal(PGD(epsilon=0, iterations=3, start="uniform")(small_cnn, images, labels), images)


def test_does_not_touch_its_input(small_cnn, images, labels):
    before = images.clone()
    PGD(epsilon=0.2, iterations=2)(small_cnn, images, labels)
    assert torch.equal(images, before)
    assert not images.requires_grad


def test_two_epsilons_are_the_same_attack_until_the_smaller_one_binds(small_cnn, images, labels):
    """64 steps of 1/256 reach 0.25; only then does ε = 0.25 differ from ε = 0.5."""
    quarter, half = (
        list(PGD(epsilon=epsilon, iterations=70).iterates(small_cnn, images, labels)) for epsilon in (0.25, 0.5)
    )
    for a, b in zip(quarter[:64], half[:64], strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
    assert (quarter[69] - half[69]).abs().max() > 1e-3


def test_one_run_serves_every_budget(small_cnn, images, labels):
    long = list(PGD(epsilon=0.1, iterations=6).iterates(small_cnn, images, labels))
    for budget in (1, 3, 6):
        assert torch.equal(long[budget - 1], PGD(epsilon=0.1, iterations=budget)(small_cnn, images, labels))


def test_a_generator_an_image_makes_batching_irrelevant(small_cnn, images, labels):
    attack = PGD(epsilon=0.2, iterations=2, start="uniform")

    def attacked(chosen):
        generators = [generator(0, "test", number) for number in range(12)[chosen]]
        return attack(small_cnn, images[chosen], labels[chosen], generator=generators)

    whole = attacked(slice(0, 12))
    torch.testing.assert_close(torch.cat([attacked(slice(0, 5)), attacked(slice(5, 12))]), whole, atol=1e-12, rtol=0)
    assert torch.equal(attacked(slice(0, 12)), whole)
    with pytest.raises(ValueError, match="3 generators for 12 images"):
        attack(small_cnn, images, labels, generator=[torch.Generator()] * 3)


def test_climbs_the_kl_divergence(small_cnn, images, labels):
    """It ends farther from the clean prediction than it started, whatever the label."""
    small_cnn.eval()
    attack = PGD(epsilon=0.1, step=0.02, iterations=8, start="uniform", loss="kl")
    start = attack.initial(images, torch.Generator().manual_seed(1))
    end = attack(small_cnn, images, labels, generator=torch.Generator().manual_seed(1))
    log_clean = small_cnn(images).log_softmax(1)

    def divergence(points):
        return (log_clean.exp() * (log_clean - small_cnn(points).log_softmax(1))).sum(1)

    assert (divergence(end) > 3 * divergence(start)).all()
    other = attack(small_cnn, images, (labels + 1) % 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(end, other)


def test_restarts_are_never_weaker(small_cnn, images, labels):
    small_cnn.eval()
    labels = small_cnn(images).argmax(dim=1)

    def outcome(restarts):
        attack = PGD(epsilon=0.02, step=0.01, iterations=2, start="uniform", restarts=restarts)
        adversarial = attack(small_cnn, images, labels, generator=torch.Generator().manual_seed(3))
        logits = small_cnn(adversarial)
        return logits.argmax(dim=1) != labels, F.cross_entropy(logits, labels, reduction="none")

    (fooled_once, loss_once), (fooled, loss) = outcome(1), outcome(8)
    assert (fooled >= fooled_once).all()
    assert (loss[~fooled] >= loss_once[~fooled]).all()
    assert (loss > loss_once).any()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_off(small_cnn, images, labels, context):
    expected = PGD(iterations=2)(small_cnn, images, labels)
    with context():
        assert torch.equal(PGD(iterations=2)(small_cnn, images.clone(), labels.clone()), expected)


def test_any_callable_will_do(images, labels):
    model = linear(5).requires_grad_(False)
    images = images[..., :4, :4]
    assert torch.equal(PGD(iterations=2)(model.forward, images, labels), PGD(iterations=2)(model, images, labels))


def test_remarks_say_what_may_surprise():
    assert PGD(epsilon=0.25, step=0.125, iterations=2).notes() == []
    assert "cannot bind" in PGD(epsilon=0.5, step=1 / 256, iterations=127).notes()[0]
    (note,) = PGD(epsilon=0.5, step=1 / 256, iterations=200).notes(budgets=[10, 100, 200])
    assert "cannot bind within 10, 100 steps of 0.003906 from a zero start: 100 reach at most 0.3906" in note
    assert PGD(epsilon=0.5, step=1 / 256, iterations=128).notes() == []
    assert "larger than ε" in PGD(epsilon=0.1, step=0.2).notes()[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epsilon": 64}, "64 is outside.*write 64/255"),
        ({"epsilon": -0.1}, "-0.1 is below 0"),
        ({"step": 0}, "greater than 0"),
        ({"iterations": 0}, "greater than or equal to 1"),
        ({"iterations": True}, "integer"),
        ({"start": "random"}, "zero"),
        ({"restarts": 3}, "same run"),
        ({"loss": "kl"}, "no gradient at the image itself"),
        ({"eps": 0.1}, "did you mean 'epsilon'"),
    ],
)
def test_senseless_settings(fields, message):
    with pytest.raises(ValueError, match=message):
        PGD(**fields)


def test_settings_may_be_fractions():
    assert PGD(epsilon="64/256", step="1/256") == PGD(epsilon=0.25, step=1 / 256)


def test_a_gaussian_start_is_close_to_the_image_and_within_the_ball(small_cnn):
    """TRADES' own: standard deviation 0.001 (n = 49 152), cut to ε and [0, 1]; the KL divergence is climbed from it."""
    gray, draw = torch.full((4, 3, 64, 64), 0.5, dtype=torch.float64), torch.Generator().manual_seed(0)
    change = PGD(epsilon=0.1, start="gaussian").initial(gray, draw) - gray
    assert abs(change.mean()) < 4 * 0.001 / 49152**0.5
    assert abs(change.std() - 0.001) < 5 * 0.001 / (2 * 49152) ** 0.5
    assert change.abs().max() > 0.003
    assert (PGD(epsilon=0.0005, start="gaussian").initial(gray, draw) - gray).abs().max() == pytest.approx(0.0005)
    white = PGD(start="gaussian").initial(torch.ones_like(gray), draw)
    assert white.max() == 1
    shown, labels = gray[..., :16, :16], torch.zeros(4, dtype=torch.long)
    climbed = PGD(0.1, 0.02, 3, start="gaussian", loss="kl")(small_cnn, shown, labels, generator=draw)
    assert (climbed - shown).abs().max() > 0.05
