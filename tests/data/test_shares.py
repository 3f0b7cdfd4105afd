"""Labels as shares of the classes: through attack, training step and accuracy, and where they are refused."""

import pytest
import torch

from atlpa.attacks import FGSM, PGD, Noise, Square
from atlpa.attacks.by_name import read_attack
from atlpa.component import validate
from atlpa.defenses import Defense, Term, load_preset
from atlpa.errors import UserError
from atlpa.experiment import load, parse
from atlpa.models import ModelSpec
from atlpa.training import Recipe, training_step

MIX = ("data.augmentation.mix.method", "mixup")


def shares_of(labels, classes=5):
    return torch.nn.functional.one_hot(labels, classes).float()


@pytest.fixture
def half_and_half(labels):
    """Every image 30 % of its class and 70 % of the next one."""
    own = shares_of(labels)
    return 0.3 * own + 0.7 * own.roll(1, dims=1)


@pytest.mark.parametrize(
    "attack",
    [
        PGD(epsilon=0.1, step=0.03, iterations=4),
        PGD(epsilon=0.1, step=0.03, iterations=2, start="uniform", restarts=2),
        PGD(epsilon=0.1, step=0.03, iterations=2, start="uniform", loss="kl"),
        FGSM(epsilon=0.1),
        Noise(epsilon=0.1),
    ],
)
def test_a_whole_share_is_the_class(small_cnn, images, labels, attack):
    given = [attack(small_cnn, images, some, generator=torch.Generator().manual_seed(0))
             for some in (labels, shares_of(labels))]  # fmt: skip
    assert torch.equal(*given)


def test_the_attack_climbs_the_shares_own_cross_entropy(small_cnn, images, half_and_half):
    """A step goes along the sign of the gradient of −Σ s·log p, which finite differences find."""
    moved = PGD(epsilon=0.1, step=0.01, iterations=1)(small_cnn, images, half_and_half)
    small_cnn.eval()

    @torch.no_grad()
    def loss(shown):
        return -(half_and_half * small_cnn(shown).log_softmax(dim=1)).sum(dim=1)

    for number in range(len(images)):
        for pixel in ((0, 3, 5), (2, 8, 1)):
            nudged = images.clone()
            nudged[(number, *pixel)] += 1e-5
            slope = (loss(nudged) - loss(images))[number].item()
            if abs(slope) > 1e-10:
                there = (moved - images)[(number, *pixel)].item()
                assert there * slope > 0 or images[(number, *pixel)] in (0, 1)
    assert (loss(moved) > loss(images)).all()


@pytest.mark.parametrize("attack", [PGD(iterations=1, loss="margin"), PGD(iterations=1, loss="dlr"), Square()])
def test_attacks_on_one_class_refuse_shares(small_cnn, images, half_and_half, attack):
    assert not attack.takes_shares
    with pytest.raises(ValueError, match=r"shares of classes \(12, 5\); give this attack one class for each, \(B,\)"):
        attack(small_cnn, images, half_and_half)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda shares: shares / 2, r"sum to 0\.5 … 0\.5; give shares of 0 or more that sum to 1"),
        (lambda shares: 2 * shares - 0.2, r"shares from -0\.2 that sum to 1"),
        (lambda shares: shares * torch.nan, "shares from nan"),
        (lambda shares: shares[:, :4] / shares[:, :4].sum(dim=1, keepdim=True), r"\(12, 4\) for logits \(12, 5\)"),
        (lambda shares: shares[:3], r"labels \(3, 5\) for images"),
    ],
)
def test_shares_that_are_none(small_cnn, images, half_and_half, change, message):
    with pytest.raises(ValueError, match=message):
        PGD(iterations=1)(small_cnn, images, change(half_and_half + 1e-9))


SHOWN = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def network(name):
    defense = validate(Defense, load_preset(name).fields)
    return defense, defense.build(ModelSpec(architecture="resnet18", weights="none"), 10, seed=0, size=32)


def step_of(labels, name, micro_batch=None):
    """What a step says, and the gradients that it leaves."""
    defense, model = network(name)
    attack, optimizer = PGD(epsilon=0.1, step=0.05, iterations=2), Recipe().make_optimizer(model)
    result = training_step(model, defense, attack, optimizer, SHOWN, labels, micro_batch=micro_batch)
    return result, [value.grad for value in model.parameters()]


@pytest.mark.parametrize("name", ["atlpa", "pat_smooth", "trades"])
def test_a_training_step_on_whole_shares_is_that_on_classes(name):
    classes = torch.arange(8)
    one, other = step_of(classes, name), step_of(shares_of(classes, 10), name)
    for term, value in one[0].terms.items():
        assert other[0].terms[term].item() == pytest.approx(value.item(), rel=1e-5)
    assert one[0].accuracy == other[0].accuracy
    for mine, theirs in zip(one[1], other[1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_the_larger_share_counts_as_right(micro_batch):
    """Five of eight images hold mostly the class that the network says, three mostly another."""
    model = network("none")[1].train()
    said = torch.cat([model(part).argmax(dim=1) for part in SHOWN.split(micro_batch or 8)])
    mostly = torch.where(torch.arange(8) < 5, said, (said + 1) % 10)
    shares = 0.6 * shares_of(mostly, 10) + 0.4 * shares_of((mostly + 1) % 10, 10)
    assert step_of(shares, "none", micro_batch)[0].accuracy["clean"].item() == 5 / 8


class NeedsAClass(Term):
    """A term that looks up the label's logit."""

    one_class = True

    def __call__(self, views, _):
        return views.clean.gather(1, views.labels[:, None]).mean()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("defense", "igr")], "gives an image shares of two classes, and defense igr has the term input_gradient"),
        ([("training.attack.loss", "margin")], "is trained against pgd, which as it is set needs one class"),
        ([("training.attack", {"name": "square"})], "is trained against square"),
    ],
)
def test_experiments_that_mix_labels_of_one_class_are_refused(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        load("digits", [("defense", "atlpa"), *changes, MIX])
    assert "\n" not in str(caught.value)
    load("digits", [("defense", "atlpa"), *changes])


def test_a_term_that_says_so_is_refused():
    fields = load("digits", [MIX]).resolved()
    fields["defense"]["terms"] = {"needs": NeedsAClass(), "cross_entropy": {}}
    with pytest.raises(UserError, match=r"term .*NeedsAClass, which needs one class for each; leave one of"):
        parse(fields)


@pytest.mark.parametrize("defense", ["none", "pat", "pat_smooth", "alp", "trades", "atlpa"])
def test_defenses_that_take_shares(defense):
    load("digits", [("defense", defense), MIX])


def test_clean_training_does_not_care_about_its_attack():
    load("digits", [("defense", "none"), ("training.attack.loss", "margin"), MIX])


def test_no_attack_takes_shares_unless_it_says_so():
    assert not read_attack({"name": "square"}).takes_shares
    assert read_attack({"name": "fgsm"}).takes_shares
