"""What a researcher may hand over by mistake: one sentence, never a number that looks right."""

import numpy as np
import pytest
import torch
from torch import nn

from atlpa.attacks import PGD
from atlpa.evaluation import credibility, distances, evaluate, transfer

EPSILON = 8 / 255
ATTACK = PGD(EPSILON, 2 / 255, 4)


def network(classes=5, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, classes)).eval()


IMAGES = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MODEL, OTHER = network(), network(seed=1)
LABELS = MODEL(IMAGES).argmax(dim=1)
BATCHES = [(IMAGES[:6], LABELS[:6]), (IMAGES[6:], LABELS[6:])]


@pytest.mark.parametrize("name", ["batch_size", "draws"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "8"])
def test_settings_that_count(name, value):
    wrong = rf"{name} {value!r}; give a whole number of at least 1"
    with pytest.raises(ValueError, match=wrong):
        evaluate(MODEL, IMAGES, LABELS, ATTACK, **{name: value})
    with pytest.raises(ValueError, match=wrong):
        transfer(OTHER, {"": MODEL}, BATCHES, ATTACK, **{name: value})
    if name == "batch_size":
        with pytest.raises(ValueError, match=wrong):
            distances(MODEL, IMAGES, LABELS, ATTACK, batch_size=value)


@pytest.mark.parametrize(
    ("budgets", "words"),
    [
        ([1.5, 4], "a budget is 1.5; give a whole number"),
        ([float("nan"), 4], "a budget is nan"),
        ([True, 4], "a budget is True"),
        ([0, 4], "a budget is 0"),
        (np.array([0]), "a budget is 0|a budget is np.int64"),
        (torch.tensor([2.0]), "a budget is tensor"),
        ([], "which has 4 iterates; give some from 1 to 4"),
        ([4, 5], "which has 4 iterates; give some from 1 to 4"),
        ([3], "goes on to 4; let them agree"),
        (4, "budgets 4; give several whole numbers from 1 to 4"),
        ("4", "budgets '4'; give several"),
    ],
)
def test_budgets(budgets, words):
    with pytest.raises(ValueError, match=words):
        evaluate(MODEL, IMAGES, LABELS, ATTACK, budgets=budgets)
    with pytest.raises(ValueError, match=words):
        transfer(OTHER, {"": MODEL}, BATCHES, ATTACK, budgets)


def test_budgets_of_any_kind_and_order_are_the_same():
    wanted = evaluate(MODEL, IMAGES, LABELS, ATTACK, budgets=[1, 4])
    shown = transfer(OTHER, {"": MODEL}, BATCHES, ATTACK, [1, 4])[""]
    for budgets in ((4, 1), np.array([1, 4, 4]), torch.tensor([4, 1]), (n for n in (1, 4)), {4, 1}, range(1, 5, 3)):
        kinds = budgets if not hasattr(budgets, "send") else [1, 4]
        found = evaluate(MODEL, IMAGES, LABELS, ATTACK, budgets=kinds)
        assert (found.budgets, found.robust.tolist()) == (wanted.budgets, wanted.robust.tolist())
        again = transfer(OTHER, {"": MODEL}, BATCHES, ATTACK, budgets)[""]
        assert (again.budgets, again.robust.tolist()) == (shown.budgets, shown.robust.tolist())


@pytest.mark.parametrize(
    ("source", "targets", "images", "words"),
    [
        (None, {"": MODEL}, BATCHES, "the source is None"),
        (OTHER, [MODEL], BATCHES, r"(?s)targets .*; give networks by name"),
        (OTHER, {"a": None}, BATCHES, "the target a is None"),
        (OTHER, {"a": network(7)}, BATCHES, "the target a has 7 classes, the source 5"),
        (OTHER, {"a": network(3)}, BATCHES, "label 4 but the target a has 3 classes"),
        (OTHER, {"a": MODEL}, IMAGES, "labels are missing"),
        (OTHER, {"a": lambda x: (x,)}, BATCHES, "the target a gave tuple"),
        (OTHER, {"a": network().double()}, BATCHES, r"the target a takes no images \(3, 8, 8\) of torch.float32"),
    ],
)
def test_transfer_between_what_does_not_fit(source, targets, images, words):
    with pytest.raises(ValueError, match=words):
        transfer(source, targets, images, ATTACK)


def test_a_source_of_another_task():
    with pytest.raises(ValueError, match="the model has 5 classes, the source 7; give networks of one task"):
        evaluate(MODEL, IMAGES, LABELS, ATTACK, source=network(7))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("measure", [evaluate, distances, credibility])
def test_half_precision_cannot_hold_epsilon(kind, measure):
    attack = [] if measure is credibility else [ATTACK]
    with pytest.raises(ValueError, match=rf"weights are of {kind}, .*; give model.float\(\)"):
        measure(network().to(kind), IMAGES, LABELS, *attack)


def test_images_in_half_precision_are_judged_in_float32():
    halves = IMAGES.half()
    found = evaluate(MODEL, halves, LABELS, ATTACK)
    assert found.robust.tolist() == evaluate(MODEL, halves.float(), LABELS, ATTACK).robust.tolist()
    plain = evaluate(MODEL.forward, halves, LABELS, ATTACK)
    assert plain.robust.tolist() == found.robust.tolist()


@pytest.mark.parametrize("measure", [evaluate, distances])
def test_what_a_network_says_of_shapes_is_a_sentence(measure):
    with pytest.raises(ValueError, match=r"the model takes no images \(8, 8, 3\) of torch.float32 on cpu: .*"):
        measure(nn.Conv2d(3, 4, 3), IMAGES.permute(0, 2, 3, 1), LABELS, ATTACK)
    with pytest.raises(ValueError, match="the model gave Flatten for 2 images"):
        measure(nn.Flatten, IMAGES, LABELS, ATTACK)  # the class, no instance


def test_a_caller_in_inference_mode_gets_the_same():
    wanted = evaluate(MODEL, IMAGES, LABELS, ATTACK)
    with torch.inference_mode():
        found = evaluate(MODEL, IMAGES.clone(), LABELS.clone(), ATTACK)
    assert found.robust.tolist() == wanted.robust.tolist()


def test_an_attack_by_itself_takes_tensors():
    with pytest.raises(ValueError, match="type ndarray; attacks take tensors"):
        ATTACK(MODEL, IMAGES.numpy(), LABELS.numpy())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epsilon": "8/255"}, "ε is '8/255'; give a number"),
        ({"claimed": "0.5"}, "claimed '0.5'; give a number"),
        ({"sources": MODEL}, r"(?s)sources .*; give a list of networks"),
        ({"sources": [None]}, "the source 1 is None"),
        ({"reference": "none"}, "the reference is 'none'"),
        ({"checks": ["gradient"]}, "did you mean 'gradients'"),
    ],
)
def test_credibility_of_what_is_none(changes, words):
    with pytest.raises(ValueError, match=words):
        credibility(MODEL, IMAGES, LABELS, **changes)


def test_credibility_takes_what_evaluate_takes():
    names = ["pixel range", "clean accuracy", "gradients"]
    wanted = [finding.measured for finding in credibility(MODEL, IMAGES, LABELS, checks=names)]
    for model, images, labels in (
        (MODEL, IMAGES.numpy(), LABELS.numpy()),
        (MODEL, IMAGES.tolist(), LABELS.tolist()),
        (MODEL, BATCHES, None),
        (MODEL, IMAGES.double(), LABELS),
        (network().double(), IMAGES, LABELS),
    ):
        found = credibility(model, images, labels, checks=names)
        assert [finding.check for finding in found] == names
        assert [finding.measured for finding in found] == wanted
    with pytest.raises(ValueError, match="unknown check"):
        credibility(MODEL, IMAGES, LABELS, checks=["nothing of this kind at all"])
