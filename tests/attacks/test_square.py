"""The Square attack by its properties, and against what random search must reach."""

import pytest
import torch

from atlpa.attacks import PGD, Square
from atlpa.attacks.objectives import margin


def test_the_margin_never_falls_and_the_bounds_hold(small_cnn, images, labels):
    model = small_cnn.eval()
    heights = []
    for iterate in Square(epsilon=0.05, iterations=60).iterates(model, images, labels, generator=torch.Generator()):
        assert (iterate - images).abs().max() <= 0.05 + 1e-12
        assert iterate.min() >= 0
        assert iterate.max() <= 1
        heights.append(margin(model(iterate), labels))
    assert len(heights) == 60
    rises = torch.stack(heights).diff(dim=0)
    assert rises.min() >= 0
    assert (rises > 0).any()


def test_fallen_images_are_left_alone(small_cnn, images, labels):
    asked = []

    def model(batch):
        asked.append(len(batch))
        return small_cnn.eval()(batch)

    *_, last = Square(epsilon=0.3, iterations=50)(model, images, labels, generator=torch.Generator())[None]
    standing = (small_cnn(last).argmax(dim=1) == labels).sum()
    assert asked[0] == 12
    assert asked == sorted(asked, reverse=True)
    assert asked[-1] >= standing


def test_it_finds_the_corner_of_a_linear_model():
    """A linear model's worst point is x − ε·sign(w): enough squares of one pixel come close to it."""
    weight = torch.tensor([1.0, -2.0, 0.5, -1.0] * 12).view(1, 3, 4, 4)

    def model(batch):
        score = (batch * weight).sum(dim=(1, 2, 3))
        return torch.stack([score, torch.zeros_like(score)], dim=1)

    images, labels = torch.full((1, 3, 4, 4), 0.5) + 0.3 * weight.sign(), torch.zeros(1, dtype=torch.long)
    epsilon = 0.1  # too little to fall, so that the search goes on
    found = Square(epsilon=epsilon, iterations=3000)(model, images, labels, generator=torch.Generator())
    reached, best = margin(model(found), labels), margin(model(images - epsilon * weight.sign()), labels)
    start = margin(model(images), labels)
    assert ((reached - start) / (best - start)).item() > 0.95


def test_it_needs_no_gradient(small_cnn, images, labels):
    """Behind rounding PGD stays where it is, and random search does not."""
    model = lambda batch: small_cnn.eval()((8 * batch).round() / 8)  # noqa: E731
    right = model(images).argmax(dim=1)
    found = Square(epsilon=0.2, iterations=200)(model, images, right, generator=torch.Generator())
    assert (model(found).argmax(dim=1) != right).any()
    with pytest.raises(ValueError, match="gives no gradient; attack it with Square"):
        PGD(epsilon=0.2, iterations=2)(lambda batch: model(batch).detach(), images, labels)
