"""Defenses that hide their gradients, each with a way in for who knows how it is made; networks are made when asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import FGSM
from tests.gallery import layers
from tests.gallery.honest import ATTACK, BELIEVING, pgd_trained, undefended
from tests.gallery.training import convolutions, digits, on_adversarial, trades, train

Pair = tuple[nn.Module, nn.Module]
"""What is judged, and what an attacker differentiates who knows the defense."""
Make = Callable[[], nn.Module]
ACTIVATIONS = (2, 5, 7)


def _replaced(network: nn.Module, places: tuple[int, ...], change: Callable[[nn.Module], nn.Module]) -> nn.Sequential:
    """The network with another layer at some places, made of what is there."""
    assert isinstance(network, nn.Sequential)
    return nn.Sequential(*(change(layer) if place in places else layer for place, layer in enumerate(network))).eval()


def _then(make: Make) -> Callable[[nn.Module], nn.Module]:
    return lambda layer: nn.Sequential(layer, make())


@cache
def winners(share: float) -> Pair:
    """Of the activations the largest few; in the way in all of them win."""
    network = train(partial(convolutions, act=partial(layers.KWinners, share)), ATTACK, on_adversarial, steps=200)
    return network, _replaced(network, ACTIVATIONS, lambda _: nn.Identity())


@cache
def band(width: float) -> Pair:
    """Activations near their mean become the mean."""
    network = pgd_trained()
    assert isinstance(network, nn.Sequential)
    hidden = nn.Sequential()
    with torch.no_grad():
        for place, layer in enumerate(network):
            hidden.append(layer)
            if place in (1, 4, 6):
                hidden.append(layers.MeanBand(network[: place + 1](digits()[0][:256]), width))
    return hidden.eval(), network


@cache
def distillation(temperature: float) -> Pair:
    """A student of what its teacher says at a temperature, which is then left out (Papernot et al. 2016)."""
    images, labels, *_ = digits()
    shares = F.one_hot(labels).float()
    for seed in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = convolutions()
            optimizer = torch.optim.SGD(network.parameters(), temperature / 20, momentum=0.9)
            for _ in range(250):
                chosen = torch.randint(len(images), (64,))
                optimizer.zero_grad()
                F.cross_entropy(network(images[chosen]) / temperature, shares[chosen]).backward()
                optimizer.step()
        with torch.no_grad():
            shares = (network.eval()(images) / temperature).softmax(dim=1)
    return network, nn.Sequential(network, layers.Scaled(1 / temperature)).eval()


@cache
def thermometer(levels: int) -> Pair:
    """Pixels as thresholds that they exceed; the way in has ramps for them (Athalye et al. 2018)."""
    network = train(lambda: nn.Sequential(layers.Thermometer(levels), *convolutions(3 * levels)))
    return network, _replaced(network, (0,), lambda _: layers.Ramps(levels))


@cache
def one_step(epsilon: float) -> Pair:
    """Trained on single steps until it has collapsed; nothing is known about it but that."""
    network = train(convolutions, FGSM(epsilon, engine="reference"), on_adversarial, steps=500, rate=0.1)
    return network, network


@cache
def top_features(count: int) -> Pair:
    """The largest few features before the last layer."""
    network = train(
        lambda: _replaced(convolutions(), (8,), _then(partial(layers.TopFeatures, count))), ATTACK, on_adversarial
    )
    return network, _replaced(network, (8,), lambda layer: layer[0])  # type: ignore[index]


@cache
def voting(robust: bool) -> Pair:
    """Three networks vote."""
    if robust:
        second, third = train(convolutions, ATTACK, on_adversarial, seed=1), train(convolutions, BELIEVING, trades)
        members = [pgd_trained(), second, third]
    else:
        members = [undefended(), *(train(convolutions, seed=seed) for seed in (1, 2))]
    return layers.Voting(*members).eval(), layers.Mean(*members).eval()


def before(layer: nn.Module, network: Make) -> Pair:
    """Something is done to the images."""
    return nn.Sequential(layer, network()).eval(), network()


def behind(layer: nn.Module, network: Make) -> Pair:
    """Something is done to the logits."""
    return nn.Sequential(network(), layer).eval(), network()


def within(make: Make, network: Make, places: tuple[int, ...] = ACTIVATIONS) -> Pair:
    """Something is done to the activations."""
    return _replaced(network(), places, _then(make)), network()


BROKEN: dict[str, Callable[[], Pair]] = {
    "k winners take all, 20 %": lambda: winners(0.2),
    "k winners take all, 5 %": lambda: winners(0.05),
    "band around the mean, 0.3": lambda: band(0.3),
    "band around the mean, 0.6": lambda: band(0.6),
    "distillation at 20": lambda: distillation(20),
    "distillation at 100": lambda: distillation(100),
    "reverse sigmoid, 0.2": lambda: behind(layers.ReverseSigmoid(0.2, 0.1), pgd_trained),
    "reverse sigmoid, 0.5": lambda: behind(layers.ReverseSigmoid(0.5, 0.1), undefended),
    "thermometer of 16": lambda: thermometer(16),
    "thermometer of 4": lambda: thermometer(4),
    "input of 16 levels": lambda: before(layers.Rounded(15), pgd_trained),
    "input of 5 levels": lambda: before(layers.Rounded(4), undefended),
    "misleading backward pass, 1": lambda: before(layers.Misleading(1), pgd_trained),
    "misleading backward pass, 4": lambda: before(layers.Misleading(4), pgd_trained),
    "stochastic pruning, 2": lambda: within(partial(layers.pruned, 2.0), pgd_trained, ACTIVATIONS[:2]),
    "stochastic pruning, 0.5": lambda: within(partial(layers.pruned, 0.5), pgd_trained, ACTIVATIONS[:2]),
    "one step training at 0.12": lambda: one_step(0.12),
    "one step training at 0.16": lambda: one_step(0.16),
    "activations rounded to 1/8": lambda: within(partial(layers.Rounded, 8), pgd_trained),
    "activations rounded to 1/2": lambda: within(partial(layers.Rounded, 2), undefended),
    "block filter, 0.1": lambda: before(layers.Blocks(0.1), pgd_trained),
    "block filter, 0.4": lambda: before(layers.Blocks(0.4), undefended),
    "input with ripples": lambda: before(layers.Ripples(0.02), pgd_trained),
    "input with a sawtooth": lambda: before(layers.Sawtooth(0.005), pgd_trained),
    "top 64 features": lambda: top_features(64),
    "top 16 features": lambda: top_features(16),
    "noise on the logits, 0.5": lambda: behind(layers.noise(0.5), pgd_trained),
    "noise on the logits, 2": lambda: behind(layers.noise(2.0), pgd_trained),
    "voting of three, robust": lambda: voting(True),
    "voting of three, undefended": lambda: voting(False),
}
"""Fifteen at two strengths each."""
