"""FGSM from a random start and from strong noise, and attacks at a share of their ε."""

import pytest
import torch

from atlpa.attacks import ATTACKS, FGSM, NFGSM, PGD, RSFGSM, Square, attack_class, read_attack
from atlpa.evaluation import evaluate
from atlpa.randomness import generator, uniform


def draw():
    return torch.Generator().manual_seed(7)


def sign_at(model, points, labels):
    """The sign of the input gradient of the log-probability's negative, written out."""
    points = points.clone().requires_grad_(True)
    loss = -model(points).log_softmax(dim=1)[torch.arange(len(labels)), labels].sum()
    return torch.autograd.grad(loss, points)[0].sign()


@pytest.mark.parametrize("alpha", [0.5, 1.25, 30.0])
def test_rs_fgsm_is_the_sources_step(small_cnn, images, labels, alpha):
    """Wong et al. 2020: δ ~ U(±ε), δ ← clip(δ + α·ε·sign, ±ε), and the image clipped to [0, 1]."""
    model, epsilon = small_cnn.eval(), 0.1
    start = (images + uniform(images, epsilon, draw())).clamp(0, 1)
    delta = (start - images + alpha * epsilon * sign_at(model, start, labels)).clamp(-epsilon, epsilon)
    found = RSFGSM(epsilon, alpha)(small_cnn.train(), images, labels, generator=draw())
    torch.testing.assert_close(found, (images + delta).clamp(0, 1), atol=1e-12, rtol=0)
    assert (found - images).abs().max() <= epsilon + 1e-12


@pytest.mark.parametrize(("noise", "alpha"), [(2.0, 1.0), (1.0, 1.0), (0.0, 1.5)])
def test_n_fgsm_is_the_sources_step(small_cnn, images, labels, noise, alpha):
    """De Jorge et al. 2022: noise clipped to the pixel range, then the step from there, clipped to it as well."""
    model, epsilon = small_cnn.eval(), 0.1
    noisy = (images + uniform(images, noise * epsilon, draw())).clamp(0, 1)
    expected = (noisy + alpha * epsilon * sign_at(model, noisy, labels)).clamp(0, 1)
    found = NFGSM(epsilon, noise, alpha)(small_cnn.train(), images, labels, generator=draw())
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    assert epsilon < (found - images).abs().max() <= (noise + alpha) * epsilon + 1e-12
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_recipes_step_in_pixels_does_not_become_a_multiple_of_epsilon():
    """Another attack keeps the recipe's values of the fields that both have; a step is not among them."""
    assert not {"step"} & {*RSFGSM().settings(), *NFGSM().settings()}


@pytest.mark.parametrize("name", [name for name in ATTACKS.built_in if name != "autoattack"])
@pytest.mark.parametrize("share", [0.0, 1e-320, 0.3])
def test_a_share_of_epsilon(small_cnn, images, labels, name, share):
    """The images are those of the attack that was given the smaller distances, and lie within them."""
    few = {"iterations": 3} if attack_class(name).budget else {}
    epsilon = 0.0 if name == "none" else 0.1
    attack = read_attack({"name": name, "epsilon": epsilon, **few})
    reach = 3 if name == "n_fgsm" else 1
    found = attack.scaled(share)(small_cnn, images, labels, generator=draw())
    assert (found - images).abs().max() <= reach * share * epsilon + 1e-12
    changed = {"epsilon": share * epsilon} | ({"step": share * attack.step or 1 / 256} if name == "pgd" else {})
    expected = read_attack({**attack.settings(), **changed})(small_cnn, images, labels, generator=draw())
    assert torch.equal(found, expected)
    assert attack.scaled(1) is attack


def test_steps_keep_their_proportion():
    scaled = PGD(epsilon=0.2, step=0.05, iterations=7, momentum=0.5).scaled(0.5)
    assert scaled == PGD(epsilon=0.1, step=0.025, iterations=7, momentum=0.5)
    assert RSFGSM(0.2, 1.5).scaled(0.5) == RSFGSM(0.1, 1.5)
    assert Square(0.2).scaled(0.25) == Square(0.05)
    assert FGSM(0.2).scaled(1.0) == FGSM(0.2)


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan")])
def test_no_share_of_epsilon(share):
    with pytest.raises(ValueError, match="of ε; give a share from 0 to 1"):
        PGD().scaled(share)


def test_what_trains_alone_judges_nothing(small_cnn, images, labels):
    """N-FGSM's images leave the ball on purpose, whatever they are made on."""
    for source in (None, small_cnn):
        with pytest.raises(ValueError, match="n_fgsm is for training: its images leave the ε-ball on purpose; judge"):
            evaluate(small_cnn, images, labels, NFGSM(0.1), source=source)
    assert [name for name in ATTACKS.built_in if not attack_class(name).bounded] == ["n_fgsm"]


def test_batching_is_irrelevant(small_cnn, images, labels):
    for attack in (RSFGSM(0.1), NFGSM(0.1)):
        draws = [[generator(0, "test", number) for number in range(12)] for _ in range(3)]
        whole = attack(small_cnn, images, labels, generator=draws[0])
        parts = [
            attack(small_cnn, images[rows], labels[rows], generator=draws[1 + place][rows])
            for place, rows in enumerate((slice(0, 5), slice(5, 12)))
        ]
        torch.testing.assert_close(torch.cat(parts), whole, atol=1e-12, rtol=0)
