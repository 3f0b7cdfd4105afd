"""The ensemble against what its parts do one by one, and against AutoAttack's own package."""

from dataclasses import replace

import pytest
import torch

from atlpa.attacks import APGD, FAB, AutoAttack, Ensemble, Square
from atlpa.evaluation import evaluate
from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.model_state import RandomLayer
from atlpa.randomness import sample
from tests.attacks.test_auto_attack import standing, trained

__all__ = ["trained"]
EPSILON = 0.03
QUERIES = 300


@pytest.fixture(autouse=True)
def _few_queries(monkeypatch):
    monkeypatch.setattr("atlpa.attacks.ensemble.QUERIES", QUERIES)


@pytest.mark.parametrize("version", ["standard", "fast"])
def test_it_leaves_what_autoattack_leaves_and_what_none_of_its_parts_fells(trained, version):
    model, images, labels = trained
    result = evaluate(model, images, labels, Ensemble(EPSILON, version), keep_adversarial=True)
    robust = result.robust[0, 0]
    theirs = standing(model, AutoAttack(EPSILON)(model, images, labels), labels)
    assert torch.equal(robust, theirs)
    assert 0 < robust.sum() < len(images)
    assert torch.equal(robust, standing(model, result.adversarial, labels))
    assert (result.adversarial - images).abs().max() <= EPSILON + 1e-6
    for part in (APGD(EPSILON), APGD(EPSILON, loss="dlr", target=1), FAB(EPSILON), Square(EPSILON, QUERIES)):
        assert (robust <= evaluate(model, images, labels, part).robust[0, 0]).all()


@pytest.mark.parametrize("version", ["standard", "fast"])
def test_a_call_is_what_an_evaluation_is(trained, version):
    """On a batch as image by image, whoever leaves early: from the same generators the same verdicts."""
    model, images, labels = trained
    expected = evaluate(model, images, labels, Ensemble(EPSILON, version)).robust[0, 0]
    found = Ensemble(EPSILON, version)(model, images, labels, generator=torch.Generator().manual_seed(0))
    assert torch.equal(standing(model, found, labels), expected)
    assert (found - images).abs().max() <= EPSILON + 1e-6
    assert model.training


def test_what_felled_each_image_is_told(trained):
    """An image that gradients cannot see falls to the search; all others to the first part."""
    model, images, labels = trained
    blind = torch.zeros(len(images), dtype=torch.bool)
    blind[::3] = True

    class PartlyBlind(torch.nn.Module):
        """Rounds images that have a mark, so that they have no gradient."""

        def forward(self, shown):
            marked = (shown[:, :1, :1, :1] > 0.55).float()
            return model.eval()(marked * (50 * shown).round() / 50 + (1 - marked) * shown)

    images = images.clone()
    images[:, :, 0, 0] = 0.5
    images[blind, :, 0, 0] = 0.6
    judged = PartlyBlind()
    progress = []
    result = evaluate(judged, images, labels, Ensemble(EPSILON), progress=progress.append)
    parts = Ensemble(EPSILON).stages(judged(images[:1]).shape[1])
    assert sum(progress) == len(images) * sum(part.iterations + 1 for part in parts)
    places = {title: set(found) for title, found in result.felled_by.items()}
    assert list(places) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    fell = set(torch.nonzero(result.clean[0] & ~result.robust[0, 0]).flatten().tolist())
    assert set.union(*places.values()) == fell
    assert sum(map(len, places.values())) == len(fell)
    masked = set(torch.nonzero(blind).flatten().tolist())
    assert places["square"] <= masked
    assert places["square"]
    assert places["apgd-ce"]
    assert f"felled by apgd-ce {len(places['apgd-ce'])}, apgd-t" in str(result)


@pytest.mark.parametrize(("classes", "count"), [(2, 4), (3, 6), (4, 8), (17, 20)])
def test_as_many_targets_as_there_are(classes, count):
    """Nine at most; and no loss that compares more logits than there are."""
    stages = Ensemble(EPSILON, "standard").stages(classes)
    assert len(stages) == count
    assert all(stage.fewest_classes <= classes for stage in stages)


def test_two_classes_will_do():
    """A linear model falls exactly where the boundary is within reach."""
    weight = torch.randn(2, 48, generator=torch.Generator().manual_seed(0))
    images = 0.3 + 0.4 * torch.rand(30, 3, 4, 4, generator=torch.Generator().manual_seed(1))

    def model(shown):
        return shown.flatten(1) @ weight.T

    logits = model(images)
    labels, distance = logits.argmax(dim=1), (logits[:, 0] - logits[:, 1]).abs() / (weight[0] - weight[1]).abs().sum()
    result = evaluate(model, images, labels, Ensemble(distance.median().item() + 1e-6))
    assert torch.equal(result.robust[0, 0], distance > distance.median() + 1e-6)


def test_a_model_that_draws_meets_averages(trained):
    """The standard version AutoAttack's for such, the fast one fewer; no weaker than one draw, and seeded."""
    model, images, labels = trained
    noisy = torch.nn.Sequential(
        RandomLayer(lambda x, draws: x + 0.05 * sample(x, torch.randn, draws), in_training=True), model
    )
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    found, passes = {}, {}
    for version in ("fast", "fast", "standard", "rand"):
        again = found.get(version)
        found[version] = Ensemble(EPSILON, version, engine="reference")(
            noisy, images, labels, generator=torch.Generator().manual_seed(3)
        )
        passes[version] = len(calls)
        calls.clear()
        assert again is None or torch.equal(again, found[version])
        assert (found[version] - images).abs().max() <= EPSILON + 1e-6
    handle.remove()
    assert torch.equal(found["standard"], found["rand"])
    assert 5 * passes["fast"] < passes["rand"]
    averaged = evaluate(noisy, images, labels, Ensemble(EPSILON), draws=5).robust_accuracy
    single = evaluate(noisy, images, labels, replace(APGD(EPSILON), iterations=10), draws=5).robust_accuracy
    assert averaged <= single + 0.05


def test_half_precision_does_not_judge(trained):
    """What bf16 believes fallen is asked of the model itself: the verdicts are float32's."""
    model, images, labels = trained
    attack = Ensemble(EPSILON, precision="bf16", engine="reference")
    result = evaluate(model, images, labels, attack, keep_adversarial=True)
    assert torch.equal(result.robust[0, 0], standing(model, result.adversarial, labels))
    called = attack(model, images, labels, generator=torch.Generator().manual_seed(0))
    assert abs(int(standing(model, called, labels).sum() - result.robust.sum())) <= 1


def test_a_callable_without_gradients_is_left_to_the_search(trained):
    model, images, labels = trained
    judged = CheckedModel(lambda shown: model.eval()(shown).detach())
    result = evaluate(judged, images, labels, Ensemble(EPSILON))
    assert set(result.felled_by["square"]) == set(torch.nonzero(~result.robust[0, 0]).flatten().tolist())
    assert result.felled_by["square"]
