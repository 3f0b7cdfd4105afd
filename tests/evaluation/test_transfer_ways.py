"""Transfer from several sources at once, and on images as 8-bit files hold them."""

import pytest
import torch
from torch import nn

from atlpa.attacks import MIFGSM, PGD, Noise
from atlpa.evaluation import evaluate
from atlpa.evaluation.eight_bit import eight_bit


@pytest.fixture
def networks():
    """Three small float64 networks of five classes."""
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        made.append(nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(576, 5)).double().eval())
    return made


@pytest.fixture
def case(networks, images):
    """Twelve images whose labels the first network gives."""
    with torch.no_grad():
        return images, networks[0](images).argmax(dim=1)


def test_several_sources_are_one_whose_logits_are_the_mean(networks, case):
    model, one, other = networks
    attack = MIFGSM(0.2, 0.3, 4)
    found = evaluate(model, *case, attack, source=[one, other], keep_adversarial=True)
    expected = evaluate(model, *case, attack, source=lambda x: (one(x) + other(x)) / 2, keep_adversarial=True)
    torch.testing.assert_close(found.adversarial, expected.adversarial, atol=1e-9, rtol=0)
    assert torch.equal(found.robust, expected.robust)
    alone = evaluate(model, *case, attack, source=one, keep_adversarial=True)
    assert not torch.allclose(found.adversarial, alone.adversarial)


def seven(x):
    return x.flatten(1)[:, :7]


def large(x):
    return x.flatten(1) @ torch.ones(3 * 32 * 32, 5, dtype=torch.float64)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([seven], "a joint attack on 1 source; give several, or source=network for one alone"),
        ([], "a joint attack on 0 source"),
        (["model", seven], "source 1 has 5 classes, source 2 has 7 classes; a joint attack takes networks of one task"),
        (["model", "resnet"], "the source 2 is 'resnet'; give a module or another callable"),
        (large, r"the source takes no images \(3, 16, 16\) of torch.float64 on cpu: (mm: )?mat1"),
        (["model", large], r"the source 2 takes no images \(3, 16, 16\)"),
        (lambda x: x.flatten(1)[:, :2], "label 4 but the source has 2 classes"),
    ],
)
def test_sources_that_do_not_fit(networks, images, source, words):
    if isinstance(source, list):
        source = [networks[0] if one == "model" else one for one in source]
    labels = torch.arange(12) % 5
    with pytest.raises(ValueError, match=words):
        evaluate(networks[0], images, labels, PGD(iterations=1), source=source)


def test_images_of_8_bits_are_the_nearest_within_epsilon():
    """By brute force over all 256 levels; of images that are 8-bit ones themselves and of others."""
    draw = torch.Generator().manual_seed(0)
    levels = torch.arange(256, dtype=torch.float64) / 255
    for epsilon in (8 / 255, 0.25, 0.031, 1.5 / 255):
        for clean in (levels[torch.randint(256, (2, 3, 9, 9), generator=draw)], torch.rand(2, 3, 9, 9, generator=draw)):
            images = clean.double()
            away = epsilon * (2 * torch.rand(images.shape, generator=draw, dtype=torch.float64) - 1)
            away = torch.where(torch.rand(images.shape, generator=draw) < 0.5, away, epsilon * away.sign())
            adversarial = (images + away).clamp(0, 1)
            distance = (levels - adversarial[..., None]).abs()
            distance[(levels - images[..., None]).abs() > epsilon + 1e-9] = torch.inf
            found = eight_bit(adversarial, images, epsilon)
            nearest = distance.min(dim=-1).values
            torch.testing.assert_close((found - adversarial).abs(), nearest, atol=1e-9, rtol=0)
            assert torch.equal((255 * found).round() / 255, found)
            whole = eight_bit(adversarial.float(), images.float(), epsilon)
            torch.testing.assert_close((whole - found).abs().max().item(), 0.0, atol=1 / 255 + 1e-6, rtol=0)
            assert (whole.double() - images).abs().max() <= epsilon + 1e-6


def test_float32_keeps_the_last_level_within_epsilon():
    """8/255 is eight levels whatever rounding says of it."""
    images = (torch.arange(247).float() / 255).view(1, 1, 13, 19)
    assert torch.equal((255 * eight_bit(images + 8 / 255, images, 8 / 255)).round(), 255 * images + 8)
    assert torch.equal(
        eight_bit(images + 0.25, images, 0.25).clamp(max=1), ((255 * images).round() + 63).clamp(max=255) / 255
    )


def test_an_epsilon_that_holds_no_level():
    on = torch.full((1, 3, 4, 4), 100 / 255)
    assert torch.equal(eight_bit(on + 0.001, on, 0.001), on)
    with pytest.raises(ValueError, match=r"ε 0\.001 holds no 8-bit value around some pixels, .* at least 0\.0020"):
        eight_bit(on + 0.0015, on + 0.0015, 0.001)


def test_the_model_is_shown_8_bit_images(networks, case):
    model, source, _ = networks
    images, labels = (255 * case[0]).round() / 255, case[1]
    attack = PGD(0.05, 0.013, 6)
    plain, rounded = (
        evaluate(model, images, labels, attack, source=source, eight_bit=eight, keep_adversarial=True)
        for eight in (False, True)
    )
    assert torch.equal(rounded.adversarial, eight_bit(plain.adversarial, images, 0.05))
    with torch.no_grad():
        assert torch.equal(rounded.robust[0, 0], model(rounded.adversarial).argmax(dim=1) == labels)
    assert rounded.perturbation.linf.max() == pytest.approx(12 / 255)  # of 12.75 levels
    assert plain.perturbation.linf.max() == pytest.approx(0.05)


def test_8_bits_serve_transfer_alone(networks, case):
    with pytest.raises(ValueError, match="eight_bit serves transfer; leave it out, or name a source"):
        evaluate(networks[0], *case, Noise(), eight_bit=True)
