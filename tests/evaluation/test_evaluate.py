"""``evaluate`` against a loop that anybody could write, on whatever holds the images, and its refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchattacks
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from atlpa import FGSM, PGD, Square, evaluate
from atlpa.attacks import APGD, Ensemble, Noise, read_attack
from atlpa.evaluation import distances
from atlpa.model_state import RandomLayer

ATTACK = PGD(0.06, 0.01, 8)


@pytest.fixture(scope="module")
def case():
    """A float64 network that tells three bright channels apart, and sixty images of which some are hard."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    images = 0.3 + 0.3 * torch.rand(60, 3, 10, 10, generator=draw, dtype=torch.float64)
    images[torch.arange(60), labels] += torch.linspace(-0.02, 0.3, 60, dtype=torch.float64)[:, None, None]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Softplus(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3))
    model = model.double()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval(), images, labels


def standing(model, images, labels, attack):
    """Which images are right clean and after each of the attack's steps, one image at a time."""
    found = []
    for image, label in zip(images.split(1), labels.split(1), strict=True):
        shown = [image, *attack.iterates(model, image, label)]
        found.append([bool(model(one).argmax() == label) for one in shown])
    return torch.tensor(found).cummin(dim=1).values.T


def test_white_box_is_the_plain_definition_at_every_budget(case):
    model, images, labels = case
    expected = standing(model, images, labels, ATTACK)
    result = evaluate(model, images, labels, ATTACK, budgets=(1, 3, 8), batch_size=7, keep_adversarial=True)
    assert torch.equal(result.clean[0], expected[0])
    for row, budget in enumerate((1, 3, 8)):
        assert torch.equal(result.robust[row, 0], expected[budget])
    assert 0 < result.robust_accuracy < result.clean_accuracy < 1
    # The images that are handed out are those that fell, or the last ones; who was wrong clean was not attacked.
    right = model(result.adversarial).argmax(dim=1) == labels
    assert torch.equal(right, result.robust[-1, 0])
    assert (result.adversarial - images).abs().max() <= 0.06 + 1e-9
    assert torch.equal(result.adversarial[~result.clean[0]], images[~result.clean[0]])


def test_what_it_prints(case):
    model, images, labels = case
    text = str(evaluate(model, images, labels, replace(ATTACK, epsilon=0.0, step=0.01)))
    share = evaluate(model, images, labels, Noise(epsilon=0.0)).clean_accuracy
    assert text.startswith(f"robust {100 * share:.1f} % [")
    assert text.endswith(f" of 60 · clean {100 * share:.1f} % · ‖δ‖∞ 0.0000")
    both = str(evaluate(model, images, labels, ATTACK, budgets=(2, 8)))
    assert " after 2, " in both
    assert " after 8 of 60 · " in both


@pytest.mark.parametrize("kind", ["array", "loader", "list of batches"])
def test_whatever_holds_the_images(case, kind):
    model, images, labels = case
    plain = evaluate(model, images, labels, ATTACK)
    loader = DataLoader(TensorDataset(images, labels), batch_size=13)
    given = {"array": (np.asarray(images), np.asarray(labels)), "loader": (loader,), "list of batches": (list(loader),)}
    again = evaluate(model, *given[kind], attack=ATTACK)
    assert torch.equal(again.robust, plain.robust)


def test_transfer_judges_the_model_on_what_was_made_on_the_source(case):
    model, images, labels = case
    source = nn.Sequential(nn.Flatten(), nn.Linear(300, 3)).double()
    made = ATTACK(source, images, labels)
    result = evaluate(model, images, labels, ATTACK, source=source)
    assert torch.equal(result.robust[0, 0], model(made).argmax(dim=1) == labels)


def test_a_callable_without_gradients_under_an_attack_that_needs_none(case):
    """A query attack breaks what one query breaks, and what it leaves standing stands under the images it found."""
    model, images, labels = case

    @torch.no_grad()
    def logits(x):
        return model(x)

    result = evaluate(logits, images, labels, Square(0.15, 30), keep_adversarial=True)
    assert result.robust_accuracy < result.clean_accuracy
    assert torch.equal(result.robust[0, 0], (model(result.adversarial).argmax(dim=1) == labels) & result.clean[0])


def test_attacks_of_another_package(case):
    """torchattacks' PGD from the image itself, whole, and ours in one step of each budget: the same images."""
    model, images, labels = case
    foreign = read_attack({"name": "torchattacks:FGSM", "epsilon": 0.06})
    theirs = torchattacks.FGSM(model, eps=0.06)(images, labels)
    result = evaluate(model, images, labels, foreign, keep_adversarial=True)
    assert torch.equal(result.adversarial, theirs)
    assert torch.equal(result.robust, evaluate(model, images, labels, FGSM(0.06)).robust)


@pytest.mark.parametrize("budget", [1, 8])
def test_pgd_of_another_package_from_the_image_itself_is_ours(case, budget):
    """Ours by transfer to the model itself, which takes every image to the end, as theirs does."""
    model, images, labels = case
    theirs = torchattacks.PGD(model, eps=0.06, alpha=0.01, steps=budget, random_start=False)(images, labels)
    settings = {"epsilon": 0.06, "alpha": 0.01, "steps": budget, "random_start": False}
    adapted = evaluate(
        model, images, labels, read_attack({"name": "torchattacks:PGD", **settings}), keep_adversarial=True
    )
    ours = evaluate(model, images, labels, replace(ATTACK, iterations=budget), source=model, keep_adversarial=True)
    assert torch.equal(adapted.adversarial, theirs)
    torch.testing.assert_close(ours.adversarial, theirs, rtol=0, atol=1e-9)
    assert torch.equal(ours.robust[0] & ours.clean, adapted.robust[0])


@pytest.mark.parametrize("weights", [torch.float32, torch.float64])
@pytest.mark.parametrize("given", [torch.float32, torch.float64])
def test_images_take_the_precision_of_the_weights(case, weights, given):
    """What NumPy makes is float64, most networks are float32; batches may hold more than images and labels."""
    _, images, labels = case
    network = nn.Sequential(nn.Flatten(), nn.Linear(300, 3)).to(weights)
    images = images.to(given)
    shown = images.to(weights)
    own = network(shown).argmax(dim=1)
    loader = DataLoader(TensorDataset(images, own, labels), batch_size=13)
    for result in (evaluate(network, images.numpy(), own.numpy(), ATTACK), evaluate(network, loader, attack=ATTACK)):
        assert torch.equal(result.robust[0, 0], standing(network, shown, own, ATTACK)[-1])


RESTARTED = replace(ATTACK, start="uniform", restarts=3)
DRAWING = nn.Sequential(RandomLayer(lambda images, _: images, in_training=True), nn.Flatten(), nn.Linear(192, 3))


def fewer(images):
    return torch.zeros(len(images), 2, dtype=images.dtype) + images.mean()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": torch.rand(4, 3, 8, 8) * 255}, "divide 8-bit pixels by 255"),
        ({"images": torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)}, "floats in"),
        ({"images": torch.rand(3, 8, 8)}, r"give \(N, 3, H, W\)"),
        ({"images": torch.rand(0, 3, 8, 8), "labels": torch.zeros(0).long()}, "N ≥ 1"),
        ({"labels": torch.tensor([0, 1, 2, 9])}, "label 9 but the model has 3 classes"),
        ({"labels": None}, "labels are missing"),
        ({"labels": torch.zeros(4)}, "give integer classes"),
        ({"attack": None}, "no attack"),
        (
            {"model": fewer, "attack": PGD(loss="dlr"), "labels": torch.zeros(4).long()},
            "the model has 2 classes; pgd as it is set needs at least 3",
        ),
        ({"model": lambda x: x}, "the model gave .* it must give logits"),
        ({"source": lambda x: x}, "the source gave .* it must give logits"),
        ({"budgets": (2, 500)}, "give some from 1 to 8"),
        ({"budgets": (2,)}, "the last budget is 2, but pgd goes on to 8"),
        ({"images": DataLoader(TensorDataset(torch.rand(4, 3, 8, 8)))}, "DataLoader brings its own labels"),
        ({"images": DataLoader(TensorDataset(torch.rand(4, 3, 8, 8))), "labels": None}, "DataLoader are list of 1"),
        ({"images": [{"image": torch.rand(4, 3, 8, 8)}], "labels": None}, "list are dict; give"),
        ({"model": lambda x: x.flatten(1)[:, :3] / 0}, "the model gave NaN or infinite logits"),
        ({"source": fewer, "attack": RESTARTED, "labels": torch.zeros(4).long()}, "restarts 3 of pgd serves white-box"),
        ({"model": DRAWING, "attack": RESTARTED}, "the network is randomized: the best of 3 restarts"),
    ],
)
def test_what_cannot_be_evaluated(changes, words):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    usual = {"model": model, "images": torch.rand(4, 3, 8, 8), "labels": torch.tensor([0, 1, 2, 0]), "attack": ATTACK}
    with pytest.raises(ValueError, match=words):
        evaluate(**{**usual, **changes})


def test_an_attack_that_leaves_its_ball_is_named(case):
    class Cheat(Noise):
        name = "cheat"

        def perturb(self, model, images, labels, generator):
            del model, labels, generator
            return (images + 2 * self.epsilon).clamp(max=1)

    with pytest.raises(ValueError, match=r"the attack cheat moved a pixel by 0\.2, further than its ε 0\.1"):
        evaluate(*case, Cheat(0.1))


def test_logits_that_are_no_numbers_stand_for_nothing(case):
    """A network that gives NaN where it is attacked has not classified these images."""
    model, images, labels = case

    class NaNElsewhere(nn.Module):
        def forward(self, x):
            known = torch.isin(x.flatten(1).sum(dim=1), images.flatten(1).sum(dim=1))
            return torch.where(known[:, None], model(x), torch.nan)

    result = evaluate(NaNElsewhere(), images, labels, Noise(0.01))
    assert result.clean_accuracy > 0.5
    assert result.robust_accuracy == 0


def test_restarts_that_would_not_be_made(case):
    with pytest.raises(ValueError, match="pgd with 3 restarts cannot be followed step by step"):
        evaluate(*case, PGD(0.1, 0.02, 3, start="uniform", restarts=3, momentum=1.0))


def test_an_attack_in_another_norm_is_refused_before_it_is_made(case):
    with pytest.raises(ValueError, match="torchattacks:APGD measures ε in L1; evaluations measure L∞ and L2: set norm"):
        evaluate(*case, read_attack({"name": "torchattacks:APGD", "epsilon": 0.5, "norm": "L1"}))


def test_another_packages_attack_in_l2_is_measured_in_it(case):
    attack = read_attack({"name": "torchattacks:APGD", "epsilon": 0.5, "norm": "L2", "steps": 2})
    size = evaluate(*case, attack).perturbation.size
    assert size.max().item() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("attack", [PGD(0.1, 0.02, 2), Ensemble(0.1), APGD(0.1, 2)], ids=lambda attack: attack.name)
def test_a_callable_without_gradients_is_told_what_can_attack_it(case, attack):
    model, images, labels = case
    blind = lambda shown: model.eval()(shown).detach()  # noqa: E731
    with pytest.raises(ValueError, match="the network attacked gives no gradient; attack it with Square"):
        evaluate(blind, images, labels, attack)
    assert evaluate(blind, images, labels, Square(0.1, 3)).robust.shape[-1] == len(labels)
    assert evaluate(blind, images, labels, PGD(0.1, 0.02, 2), source=model).robust.shape[-1] == len(labels)
    with pytest.raises(ValueError, match="gives no gradient"):
        evaluate(model, images, labels, PGD(0.1, 0.02, 2), source=blind)


@pytest.mark.parametrize("judge", [evaluate, distances])
def test_a_model_that_draws_by_itself_is_told_so(judge):
    """Its draws are keyed by nothing, so that its answers would pass for those of a network that does not draw."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    images, labels = torch.rand(5, 3, 8, 8), torch.arange(5) % 4
    how = {"attack": PGD(8 / 255, 2 / 255, 2)}
    with pytest.raises(ValueError, match=r"draws by itself.*RandomLayer.*credibility"):
        judge(lambda x: net(x + 0.3 * torch.randn_like(x)), images, labels, **how)
    judge(nn.Sequential(net, nn.Dropout(0.5)), images, labels, **how)  # in evaluation mode it does not draw
