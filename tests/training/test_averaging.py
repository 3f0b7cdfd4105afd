"""The moving average of the weights: closed forms, and that judging it touches nothing else."""

import copy

import pytest
import torch
from torch import nn

from atlpa.training import AveragedModel, Averaging


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


def test_estimated_statistics_are_those_of_the_images_and_of_the_average_alone():
    """One batch: BatchNorm's input mean and unbiased variance over it."""
    model = network()
    average = AveragedModel(model, Averaging(batchnorm="estimate"), 0)
    before, images = copy.deepcopy(model.state_dict()), torch.rand(16, 3, 8, 8)
    average.estimate([images])
    seen = average.model[0](images)
    assert torch.allclose(average.model[1].running_mean, seen.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(average.model[1].running_var, seen.var((0, 2, 3)), atol=1e-6)
    assert not average.model.training
    assert all(map(torch.equal, model.state_dict().values(), before.values()))


@pytest.mark.parametrize(("decay", "said"), [(0.99, False), (0.9999, True)])
def test_an_average_that_cannot_reach_back_so_far_says_so(decay, said):
    notes = Averaging(decay=decay).notes(37, 1500)
    assert bool(notes) == said
    assert all("reaches back some 10000 steps, and the run has 1500: it comes to 0.9939" in note for note in notes)
