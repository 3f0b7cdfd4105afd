"""Adversarial weight perturbation: closed forms, lengths, first order, and nothing left behind."""

import copy
from importlib import import_module

import pytest
import torch
from torch import nn
from torch.optim import SGD

from atlpa.attacks import PGD
from atlpa.component import dump, validate
from atlpa.defenses import Defense, Term, WeightPerturbation, load_preset
from atlpa.errors import UserError
from atlpa.experiment import load
from atlpa.training import training_step

ATTACK = PGD(epsilon=0.1, step=0.05, iterations=2, start="uniform")


def defended(preset="pat", **changes):
    return validate(Defense, {**load_preset(preset).fields, **changes})


def step(model, defense, images, labels, rate=0.1, **options):
    draws = torch.Generator().manual_seed(3)
    attack = defense.training_attack(ATTACK)
    return training_step(model, defense, attack, SGD(model.parameters(), rate), images, labels, draws, **options)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def weights_met(model):
    """What the weights are in each pass in training mode, appended as they come."""
    met = []

    def note(module, _inputs):
        if module.training:
            met.append({name: value.detach().clone() for name, value in module.named_parameters()})

    model.register_forward_pre_hook(note)
    return met


def test_softmax_regression_in_closed_form():
    """The gradient at W + γ‖W‖ G/‖G‖ with b as it is, taken from W; G is that at W."""
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.rand(5, 3, 2, 2, dtype=torch.float64, generator=draw), torch.tensor([0, 1, 2, 3, 1])
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).double()
    W, b = network[1].weight.detach().clone(), network[1].bias.detach().clone()
    x, e = images.flatten(1), torch.eye(4, dtype=torch.float64)[labels]

    def gradient(W):
        error = ((x @ W.T + b).softmax(dim=1) - e) / 5
        return error.T @ x, error.sum(dim=0)

    G, _ = gradient(W)
    dW, db = gradient(W + 0.3 * W.square().sum().sqrt() * G / G.square().sum().sqrt())
    step(network, defended("none", awp={"gamma": 0.3}), images, labels, rate=0.5)
    torch.testing.assert_close(network[1].weight.detach(), W - 0.5 * dW)
    torch.testing.assert_close(network[1].bias.detach(), b - 0.5 * db)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_weight_moves_by_gamma_of_its_length_and_comes_back_bit_for_bit(
    small_cnn, images, labels, precision, monkeypatch
):
    monkeypatch.setattr(import_module("atlpa.training.step"), "supported_precision", lambda wish, _: wish)
    model, images = small_cnn.float(), images.float()
    before, met = state(model), weights_met(model)
    step(model, defended(awp={"gamma": 0.01}), images, labels, rate=0.0, precision=precision)
    plain, moved = met
    for name, value in plain.items():
        assert torch.equal(value, before[name])
        assert torch.equal(model.get_parameter(name).detach(), before[name])
        if value.ndim > 1:
            assert ((moved[name] - value).norm() / value.norm()).item() == pytest.approx(0.01, rel=1e-3)
        else:  # biases and BatchNorm
            assert torch.equal(moved[name], value)


def test_weights_that_are_frozen_or_that_no_loss_depends_on_stay(small_cnn, images, labels):
    small_cnn[0].weight.requires_grad_(False)
    small_cnn[5].idle = nn.Linear(2, 2)
    met = weights_met(small_cnn)
    step(small_cnn, defended(awp={}), images, labels)
    changed = {name for name, value in met[0].items() if not torch.equal(met[1][name], value)}
    assert changed == {"5.weight"}


@pytest.mark.parametrize("preset", ["pat", "trades", "igr", "rat"])
def test_with_hardly_a_perturbation_it_is_the_plain_step(preset, images, labels):
    """Dropout, the noise of a first layer and BatchNorm's statistics included, which see one pass."""
    defense = defended(preset)
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Softplus(), nn.Dropout(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(4 * 49, 5)).double()
    if defense.noise:
        noisy = load("digits", [("defense", preset)])
        first = noisy.defense.build(noisy.model, 5, seed=0).double()
        model = nn.Sequential(first.noise, model)
    twin = copy.deepcopy(model)
    plain = step(model, defense, images, labels)
    awp = step(twin, defended(preset, awp={"gamma": 1e-12}), images, labels)
    for name, value in plain.terms.items():
        torch.testing.assert_close(awp.terms[name], value)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(twin.state_dict()[name], value, rtol=1e-8, atol=1e-10, msg=name)
    assert [buffer.item() for name, buffer in twin.named_buffers() if name.endswith("tracked")] == [1]


def test_it_climbs_the_loss_by_what_the_gradient_promises(small_cnn, images, labels):
    """To first order by γ · Σ ‖w‖ ‖g‖ over the weights, and dropout draws the same in both passes."""
    twin, gamma = copy.deepcopy(small_cnn), 1e-6
    plain = step(small_cnn, defended("alp"), images, labels, rate=0.0)
    awp = step(twin, defended("alp", awp={"gamma": gamma}), images, labels, rate=0.0)
    climbed = sum(awp.terms.values()) - sum(plain.terms.values())
    weights = [weight for weight in small_cnn.parameters() if weight.ndim > 1]
    promised = sum(weight.norm() * weight.grad.norm() for weight in weights)
    assert climbed.item() / gamma == pytest.approx(promised.item(), rel=1e-3)
    assert promised > 0.01


class Failing(Term):
    """Raises in some pass, counted from 1."""

    at: int = 1

    def __call__(self, views, _):
        views.model.passes += 1
        if views.model.passes == self.at:
            raise ArithmeticError
        return views.clean.new_zeros(())


@pytest.mark.parametrize("at", [1, 2])
def test_a_pass_that_raises_leaves_the_weights_as_they_were(small_cnn, images, labels, at):
    before, small_cnn.passes = state(small_cnn), 0
    terms = {"cross_entropy": {}, "failing": Failing(at=at)}
    with pytest.raises(ArithmeticError):
        step(small_cnn, defended("none", awp={"gamma": 0.1}, terms=terms), images, labels)
    after = small_cnn.state_dict()
    assert all(torch.equal(after[name], before[name]) for name, _ in small_cnn.named_parameters())
    if at == 1:
        assert all(torch.equal(after[name], value) for name, value in before.items())


def test_it_is_an_option_of_any_defense():
    assert defended("awp").awp == WeightPerturbation(5e-3)
    assert load("digits", [("defense", "fd"), ("defense.awp", {})]).defense.awp == WeightPerturbation()
    assert load("digits", [("defense", "awp"), ("defense.awp.gamma", "1/100")]).defense.awp.gamma == 0.01
    plain = load("digits", [("defense", "awp"), ("defense.awp", None), ("defense.name", "pat")]).defense
    assert plain == load("digits", [("defense", "pat")]).defense
    assert dump(defended("none"))["awp"] is None
    assert not defended("none", awp={}).undefended
    for changes, message in (({"gamma": 0}, "greater than 0"), ({"gama": 1}, "did you mean 'gamma'")):
        with pytest.raises(UserError, match=message):
            load("digits", [("defense.awp", changes)])
