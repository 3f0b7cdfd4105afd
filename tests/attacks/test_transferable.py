"""Momentum and input diversity, against an independent library and by their geometry."""

import pytest
import torch
import torchattacks

from atlpa.attacks import PGD
from atlpa.attacks.input_diversity import input_diversity
from atlpa.evaluation import evaluate


def test_momentum_agrees_with_an_independent_implementation(small_cnn, images, labels):
    """torchattacks' MI-FGSM; it divides by the mean of |gradient|, which the sign does not see."""
    model = small_cnn.eval()
    theirs = torchattacks.MIFGSM(model, eps=0.1, alpha=0.02, steps=7, decay=0.9)
    expected = theirs(images, labels)
    ours = PGD(epsilon=0.1, step=0.02, iterations=7, momentum=0.9)(model, images, labels)
    torch.testing.assert_close(ours, expected.to(ours.dtype), atol=1e-6, rtol=0)
    plain = PGD(epsilon=0.1, step=0.02, iterations=7)(model, images, labels)
    assert not torch.allclose(ours, plain)


def test_without_them_nothing_changes(small_cnn, images, labels):
    settings = {"epsilon": 0.1, "step": 0.02, "iterations": 3}
    plain = PGD(**settings)(small_cnn, images, labels)
    assert torch.equal(plain, PGD(**settings, momentum=0.0, diversity=0.0)(small_cnn, images, labels))


def generators(count):
    return [torch.Generator().manual_seed(number) for number in range(count)]


def test_shrunk_images_lie_whole_in_a_black_frame():
    """Of a white image, a square of 90 to 100 % of the side is white, and what lies around it black."""
    white = torch.ones(64, 3, 50, 50, dtype=torch.float64)
    shrunk = input_diversity(white, 1.0, generators(64))
    sides = shrunk[:, 0].sum(dim=(1, 2)).sqrt() / 50
    assert 0.89 < sides.min() < 0.92
    assert 0.98 < sides.max() <= 1.0
    assert shrunk[:, :, 25, 25].min() == pytest.approx(1)
    corners = shrunk[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners.amin(dim=1) < 0.5).float().mean() > 0.9  # the place is random, so that some corner is mostly black
    assert len(set(corners.argmin(dim=1).tolist())) > 1


def test_probability_and_batching():
    images = torch.rand(200, 3, 20, 20)
    whole = input_diversity(images, 0.5, generators(200))
    changed = (whole != images).flatten(1).any(dim=1)
    assert 0.35 < changed.float().mean() < 0.65
    alone = input_diversity(images[7:8], 0.5, generators(8)[7:])
    torch.testing.assert_close(alone[0], whole[7])
    assert torch.equal(input_diversity(images, 0.0, generators(200)), images)


def test_an_attack_with_both_keeps_its_bounds(small_cnn, images, labels):
    attack = PGD(epsilon=0.1, step=0.02, iterations=5, momentum=1.0, diversity=0.7)
    first = attack(small_cnn, images, labels, generator=generators(12))
    assert (first - images).abs().max() <= 0.1 + 1e-12
    assert torch.equal(first, attack(small_cnn, images, labels, generator=generators(12)))
    # White-box it has a memory of its own, and is judged at its end.
    result = evaluate(small_cnn, images, labels, attack, keep_adversarial=True)
    with torch.no_grad():
        right = [small_cnn.eval()(shown).argmax(dim=1) == labels for shown in (images, result.adversarial)]
    assert torch.equal(result.robust[0, 0], right[0] & right[1])
