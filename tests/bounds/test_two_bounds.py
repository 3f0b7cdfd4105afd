"""What is certified stands under every attack, image by image, whatever the network; the training that aims at it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from atlpa.attacks import PGD, Ensemble
from atlpa.bounds import certify, worst_case_logits
from atlpa.component import validate
from atlpa.data import Digits, load_images
from atlpa.defenses import Defense, Views, load_preset
from atlpa.evaluation import evaluate
from atlpa.models import NETWORKS, Classifier, ModelSpec
from atlpa.training import Recipe, training_step
from tests.bounds.networks import MAKERS, network

METHODS = ("ibp", "crown")


@pytest.fixture(scope="module")
def digits():
    """Zeros, ones and twos at 8×8: images to train on, and others."""
    items = [item for item in Digits().index().items("train") if item.label < 3][:72]
    images = load_images(items, 8, torch.device("cpu"))
    return images[torch.arange(len(items))] / 255, images.labels


@pytest.fixture(scope="module")
def trained(digits):
    """Networks of two convolutions, trained for a moment: undefended, adversarially, and by interval bounds."""
    images, labels = (part[:60] for part in digits)
    made = {}
    for name in ("none", "pat", "ibp"):
        defense = validate(Defense, load_preset(name).fields)
        spec = ModelSpec(architecture="small_cnn", weights="none", normalization="none")
        model = defense.build(spec, 3, seed=0, size=8)
        recipe = Recipe(optimizer="adamw", learning_rate=2e-3)
        optimizer = recipe.make_optimizer(model)
        for step in range(30):
            attack = PGD(0.08 * min(1, step / 15), 0.02, 3, start="zero")
            training_step(model, defense, attack, optimizer, images, labels, risen=min(1.0, step / 15))
        made[name] = model.eval()
    return made


@pytest.mark.parametrize("name", ["none", "pat", "ibp"])
@pytest.mark.parametrize("epsilon", [0.02, 0.08])
def test_certified_images_stand_under_pgd(trained, digits, name, epsilon):
    images, labels = (part[60:] for part in digits)
    standing = evaluate(trained[name], images, labels, PGD(epsilon, epsilon / 4, 30)).robust[-1, 0]
    for method in METHODS:
        assert not (certify(trained[name], images, labels, epsilon, method).certified & ~standing).any()


def test_certified_images_stand_under_the_ensemble(trained, digits):
    """And what is certified of the network that was trained for it is much of what stands."""
    images, labels = (part[60:66] for part in digits)
    standing = evaluate(trained["ibp"], images, labels, Ensemble(0.05)).robust[-1, 0]
    certified = certify(trained["ibp"], images, labels, 0.05).certified
    assert not (certified & ~standing).any()
    assert certified.sum() >= standing.sum() / 2 > 1


@pytest.mark.parametrize("name", MAKERS)
def test_certified_images_of_random_networks_stand(name):
    """At ε where some are certified and some fall."""
    model = network(name)
    images = torch.rand(24, 3, 4, 4, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    margins = certify(model, images, labels, 0.02).margins.amin(dim=1)
    epsilon = 0.02 if (margins > 0).any() else 0.002
    standing = evaluate(model, images, labels, PGD(epsilon, epsilon / 4, 30, loss="margin")).robust[-1, 0]
    found = certify(model, images, labels, epsilon)
    assert found.certified.any()
    assert not (found.certified & ~standing).any()


def test_training_by_bounds_raises_them(trained, digits):
    images, labels = (part[60:] for part in digits)
    found = {name: certify(model, images, labels, 0.05, "ibp").certified.sum() for name, model in trained.items()}
    assert found["none"] <= found["pat"] < found["ibp"]
    assert found["ibp"] > len(images) / 2


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)
    ).double()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    return torch.rand(5, 3, 2, 2, generator=generator, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0])


def test_worst_case_logits_are_worse_than_any_of_the_ball(batch):
    images, labels = batch
    model, epsilon = small(), 0.1
    worst = F.cross_entropy(worst_case_logits(model, images, labels, epsilon), labels, reduction="none")
    torch.manual_seed(1)
    for _ in range(50):
        moved = (images + epsilon * (torch.rand_like(images) * 2 - 1).sign()).clamp(0, 1)
        assert (F.cross_entropy(model(moved), labels, reduction="none") <= worst + 1e-12).all()


def test_at_no_distance_they_are_the_logits(batch):
    images, labels = batch
    model = small()
    own = model(images)
    expected = own - own.gather(1, labels[:, None])
    assert torch.allclose(worst_case_logits(model, images, labels, 0.0), expected, atol=1e-12)


def test_their_gradients_are_finite_differences(batch):
    images, labels = batch
    model = small()

    def loss():
        return F.cross_entropy(worst_case_logits(model, images, labels, 0.05), labels)

    loss().backward()
    for name, parameter in model.named_parameters():
        place = (0,) * parameter.ndim
        with torch.no_grad():
            values = []
            for move in (1e-6, -2e-6):
                parameter[place] += move
                values.append(loss().item())
            parameter[place] += 1e-6
        assert parameter.grad is not None
        assert parameter.grad[place].item() == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6), name


def test_the_term_mixes_both_cross_entropies_as_epsilon_rises(batch):
    """κ = 1 − (1 − 0.5) · risen."""
    images, labels = batch
    model = small()
    term = validate(Defense, load_preset("ibp").fields).terms["worst_case"]
    clean, worst = (
        F.cross_entropy(logits, labels) for logits in (model(images), worst_case_logits(model, images, labels, 0.04))
    )
    for risen, share in ((0.0, 1.0), (0.5, 0.75), (1.0, 0.5)):
        views = Views(labels=labels, images=images, clean=model(images), model=model, epsilon=0.04, risen=risen)
        assert torch.allclose(term(views, 0.0), share * clean + (1 - share) * worst)


def test_they_cost_two_passes_as_the_term_says(digits):
    """Centers and radii: multiplications are counted on a network of convolutions."""
    images, labels = (part[:16] for part in digits)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)
    )
    with FlopCounterMode(display=False) as once:
        model(images)
    with FlopCounterMode(display=False) as bounds:
        worst_case_logits(model, images, labels, 0.01)
    cost = validate(Defense, load_preset("ibp").fields).terms["worst_case"].own_cost
    assert bounds.get_total_flops() / once.get_total_flops() == pytest.approx(cost.forwards, rel=0.1)


def test_a_step_bounds_the_network_as_it_is_judged(digits):
    """BatchNorm by its running statistics, dropout off; modes as they were."""
    images, labels = (part[:8] for part in digits)
    backbone = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3)
    )
    model = Classifier(backbone).train()
    before = worst_case_logits(model, images, labels, 0.01)
    assert model.training
    assert backbone[3].training
    assert torch.allclose(before, worst_case_logits(model.eval(), images, labels, 0.01))


def test_a_network_without_bounds_is_refused_before_training():
    defense = validate(Defense, load_preset("ibp").fields)
    with pytest.raises(
        ValueError, match=r"^defense.terms.worst_case: no bound is known of Hardswish \(backbone.features.0.2\)"
    ):
        defense.build(ModelSpec(architecture="mobilenet_v3_small", weights="none"), 10, seed=0, size=32)


def test_the_small_network_has_four_layers():
    """As many parameters as its four layers have."""
    model = NETWORKS["small_cnn"](10, image_size=32)
    sizes = [3 * 16 * 16 + 16, 16 * 32 * 16 + 32, 32 * 64 * 100 + 100, 100 * 10 + 10]
    assert sum(value.numel() for value in model.parameters()) == sum(sizes)
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
