"""The moving average of the weights: closed forms, and that judging it touches nothing else."""

import pytest
import torch
from torch import nn

from atlpa.attacks import FGSM, NoAttack
from atlpa.data import Batches
from atlpa.data.images import InMemory
from atlpa.experiment import load
from atlpa.training import AveragedModel, Averaging, Recipe
from atlpa.training.estimation import estimate_batchnorm


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))


def changed(model, by):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by)


def test_constant_weights_stay_bit_for_bit():
    model = network()
    average = AveragedModel(model, Averaging(), 2)
    for step in range(100):
        average.update(model, step)
    assert all(map(torch.equal, average.model.state_dict().values(), model.state_dict().values()))


def test_it_is_the_sum_that_its_definition_unrolls_to():
    """w̄ = Σ_k (1 − d_k) Π_{j>k} d_j · w_k, and the first step after the warm-up has d = 0.1."""
    averaging, model = Averaging(decay=0.9, warmup=0.25), network()
    average, weights = AveragedModel(model, averaging, averaging.begins(40)), []
    for step in range(40):
        changed(model, 0.01 * (step % 7))
        weights.append(model[0].weight.detach().double().clone())
        average.update(model, step)
    rates = [0.0 if step < 10 else min(0.9, (step - 9) / step) for step in range(40)]
    assert rates[10] == 0.1
    expected = torch.zeros_like(weights[0])
    for rate, weight in zip(rates, weights, strict=True):
        expected = rate * expected + (1 - rate) * weight
    assert torch.allclose(average.model[0].weight.double(), expected, atol=1e-6)


def test_before_it_begins_it_is_the_network():
    model = network()
    average = AveragedModel(model, Averaging(), 5)
    for step in range(5):
        changed(model, 1.0)
        average.update(model, step)
        assert torch.equal(average.model[4].weight, model[4].weight)
    changed(model, 1.0)
    average.update(model, 5)
    assert not torch.equal(average.model[4].weight, model[4].weight)


def test_statistics_are_copied():
    model = network()
    average = AveragedModel(model, Averaging(), 0)
    model(torch.rand(8, 3, 8, 8))
    average.update(model, 3)
    assert torch.equal(average.model[1].running_mean, model[1].running_mean)
    assert average.model[1].num_batches_tracked == 1


def estimated(model, defense="none", attack=None, **recipe):
    pixels = torch.randint(256, (16, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    pictures = InMemory(pixels, torch.zeros(16).long())
    batches = Batches(pictures, 16, 8, False, 0, torch.device("cpu"))
    how = load("digits", [("defense", defense)]).defense, attack or NoAttack(), Recipe(batch_size=16, **recipe)
    estimate_batchnorm(model.eval(), *how, batches, 0)
    return pictures.pixels.float() / 255


def test_estimated_statistics_are_those_of_the_images():
    """Batches of all images: BatchNorm's input mean and unbiased variance over them."""
    model = network()
    images = estimated(model)
    seen = model[0](images)
    assert torch.allclose(model[1].running_mean, seen.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(model[1].running_var, seen.var((0, 2, 3)), atol=1e-6)
    assert not model.training


def test_in_parts_the_mean_is_the_same_and_nothing_is_drawn_from_torchs_own():
    model, whole = network(), network()
    model.insert(3, nn.Dropout(0.5))
    whole.insert(3, nn.Dropout(0.5))
    state = torch.get_rng_state()
    estimated(model, micro_batch=4)
    assert torch.equal(torch.get_rng_state(), state)
    estimated(whole)
    assert torch.allclose(model[1].running_mean, whole[1].running_mean, atol=1e-6)


def test_the_attack_meets_the_average_as_it_was():
    """PGD through statistics that were just reset would leave other images."""
    model, met = network(), []
    model(torch.rand(8, 3, 8, 8))
    before = model[1].running_mean.clone()

    class Seen(FGSM):
        def iterates(self, model, images, labels, *, generator=None):
            met.append(model[1].running_mean.clone())
            yield from super().iterates(model, images, labels, generator=generator)

    estimated(model, "pat", Seen(0.1))
    assert len(met) == 32
    assert all(torch.equal(mean, before) for mean in met)
    assert not torch.equal(model[1].running_mean, before)


@pytest.mark.parametrize(("decay", "said"), [(0.99, False), (0.9999, True)])
def test_an_average_that_cannot_reach_back_so_far_says_so(decay, said):
    notes = Averaging(decay=decay).notes(37, 1500)
    assert bool(notes) == said
    assert all("reaches back some 10000 steps, and the run has 1500: it comes to 0.9939" in note for note in notes)
