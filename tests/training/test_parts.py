"""One batch in parts: micro-batches and processes give the gradients of the whole, for every defense."""

from dataclasses import replace
from itertools import chain

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from atlpa.attacks import PGD
from atlpa.component import validate
from atlpa.data import Batches
from atlpa.data.images import InMemory
from atlpa.defenses import Defense, load_preset, preset_names
from atlpa.models import ModelSpec
from atlpa.process_group import joined
from atlpa.processes import Shared
from atlpa.randomness import BatchPart, sample
from atlpa.training import Recipe, training_step
from tests.narrow import NARROW
from tests.together import processes

SIZE, BATCH = 32, 8
ATTACK = PGD(epsilon=0.1, step=0.05, iterations=2, start="uniform")


def frozen(defense):
    """A network whose BatchNorm stays in evaluation mode, so that every image passes by itself."""
    model = defense.build(ModelSpec(architecture=NARROW, weights="none"), 10, seed=0, size=SIZE).double()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train = lambda _=True, layer=layer: layer
            layer.training = False
            # As initialized, denoising blocks end in γ = 0 and learn nothing in their first step.
            nn.init.constant_(layer.weight, 0.7)
    return model


def batch(rows=None):
    """A batch as training has it, or a part of it."""
    pixels = torch.randint(256, (50, 3, 36, 36), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images, labels = Batches(
        InMemory(pixels, torch.arange(50) % 10), BATCH, SIZE, True, 0, torch.device("cpu"), rows
    ).at(3)
    return images.double(), labels


def one_step(name, model, rows=range(BATCH), micro_batch=None):
    """The gradients of a step, and what it says of the batch."""
    defense = validate(Defense, load_preset(name).fields)
    draws = BatchPart.taken(torch.Generator().manual_seed(5), rows, BATCH)
    attack, optimizer = defense.training_attack(ATTACK), Recipe().make_optimizer(model)
    if attack.last_iterate > 2:
        attack = replace(attack, iterations=2)  # further steps would only take longer
    result = training_step(model, defense, attack, optimizer, *batch(rows), draws, micro_batch=micro_batch)
    return [parameter.grad.clone() for parameter in model.parameters()], result


def in_one_process(name, micro_batch=None):
    return one_step(name, frozen(validate(Defense, load_preset(name).fields)), micro_batch=micro_batch)


def in_this_process_of_several(name, micro_batches):
    """Runs in each of several processes."""
    found = []
    with joined() as here:
        for micro_batch in micro_batches:
            model = DistributedDataParallel(frozen(validate(Defense, load_preset(name).fields)))
            grads, result = one_step(name, model, here.rows(BATCH), micro_batch)
            terms = {term: value.item() for term, value in result.terms.items()}
            found.append(([gradient.numpy() for gradient in grads], here.mean(terms)))  # tensors would be open files
    return found


def assert_same(ours, theirs):
    """To a millionth of each parameter's largest gradient."""
    for one, other in zip(map(torch.as_tensor, ours), theirs, strict=True):
        assert (one - other).abs().max() <= 1e-6 * other.abs().max()


@pytest.mark.parametrize("name", preset_names())
def test_micro_batches_and_two_processes_have_the_gradients_of_the_whole(name):
    whole, result = in_one_process(name)
    assert any(gradient.any() for gradient in whole)
    parts, of_parts = in_one_process(name, micro_batch=4)
    assert_same(parts, whole)
    for term, value in result.terms.items():
        assert of_parts.terms[term].item() == pytest.approx(value.item(), rel=1e-6)
    for view, share in result.accuracy.items():
        assert of_parts.accuracy[view].item() == pytest.approx(share.item())
    for gradients, terms in chain(*processes(2, in_this_process_of_several, name, (None, 2))):
        assert_same(gradients, whole)
        assert terms == pytest.approx({term: value.item() for term, value in result.terms.items()}, rel=1e-6)


def with_an_idle_layer(changes):
    """What a process says of a network of which a part learns nothing."""
    defense = validate(Defense, {**load_preset("none").fields, **changes})
    with joined() as here:
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 10)).double()
        network[1].idle = nn.Linear(2, 2)
        model = DistributedDataParallel(network)
        with pytest.raises(Shared) as refused:
            training_step(model, defense, ATTACK, Recipe().make_optimizer(model), *batch(here.rows(BATCH)))
    return [str(refused.value)]


def test_processes_refuse_a_layer_that_learns_nothing_instead_of_waiting_for_it():
    for changes in ({}, {"awp": {}}):
        said = processes(2, with_an_idle_layer, changes)
        assert said == [["no term depends on 1.idle.weight; train in one process, or freeze it"]] * 2


def test_the_parts_of_a_batch_are_the_batch():
    images, labels = batch()
    halves = [batch(range(first, first + 4)) for first in (0, 4)]
    assert torch.equal(torch.cat([half[0] for half in halves]), images)
    assert torch.equal(torch.cat([half[1] for half in halves]), labels)


@pytest.mark.parametrize("sampler", [torch.rand, torch.randn])
@pytest.mark.parametrize("views", [1, 2])
def test_the_draws_of_parts_are_those_of_the_batch(sampler, views):
    """Also of parts of parts, and for two views one behind the other."""
    whole = sample(torch.empty(views * 6, 3, 2), sampler, torch.Generator().manual_seed(2)).view(views, 6, 3, 2)
    half = BatchPart.taken(torch.Generator().manual_seed(2), range(3, 6), 6)
    for part, rows in ((half, slice(3, 6)), (BatchPart.taken(half, range(1, 2), 3), slice(4, 5))):
        like = whole[:, rows].reshape(-1, 3, 2)
        assert torch.equal(sample(like, sampler, part), like)


def test_draws_that_are_no_views_of_a_part_are_refused():
    part = BatchPart.taken(torch.Generator(), range(2), 6)
    with pytest.raises(ValueError, match="3 images are no whole number of views of 2"):
        sample(torch.empty(3, 1), torch.rand, part)
