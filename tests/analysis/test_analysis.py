"""Analyses on tensors: maps and regions by hand, embeddings and landscapes against what is known of them."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from torch import nn
from torch.nn import functional as F

from atlpa.analysis import (
    activation_in_regions,
    attention_maps,
    comparison_stage,
    default_perplexity,
    embed,
    landscape,
    map_distance,
    map_variation,
    overlay_maps,
    pooled_features,
    silhouette,
)
from atlpa.data.masks import INSIDE, OUTSIDE, UNKNOWN
from atlpa.losses import attention_map, attention_map_loss
from atlpa.model_state import with_generators
from atlpa.models import NETWORKS, Classifier, InputNoise, ModelSpec, RandomResize
from atlpa.randomness import generator


def test_regions_by_hand():
    overlay = torch.tensor([[[0.0, 0.2], [0.4, 1.0]]])
    mask = torch.tensor([[[OUTSIDE, INSIDE], [UNKNOWN, INSIDE]]], dtype=torch.uint8)
    inside, outside = activation_in_regions(overlay, mask)
    assert inside.item() == pytest.approx(0.6)
    assert outside.item() == 0
    with pytest.raises(ValueError, match="the same shape"):
        activation_in_regions(overlay, mask[:, :1])


def test_regions_against_a_loop():
    generator = torch.Generator().manual_seed(0)
    overlays = torch.rand(6, 9, 7, generator=generator, dtype=torch.float64)
    values = torch.tensor([INSIDE, OUTSIDE, UNKNOWN], dtype=torch.uint8)
    masks = values[torch.randint(3, (6, 9, 7), generator=generator)]
    masks[5] = UNKNOWN
    inside, outside = activation_in_regions(overlays, masks)
    for number in range(6):
        for value, found in ((INSIDE, inside), (OUTSIDE, outside)):
            cells = [overlays[number, y, x].item() for y in range(9) for x in range(7) if masks[number, y, x] == value]
            expected = sum(cells) / len(cells) if cells else float("nan")
            assert found[number].item() == pytest.approx(expected, nan_ok=True)


def test_overlays_are_normalized_and_enlarged():
    maps = torch.tensor([[[2.0, 4.0], [6.0, 10.0]], [[3.0, 3.0], [3.0, 3.0]]])
    shown = overlay_maps(maps, (8, 8))
    assert shown.shape == (2, 8, 8)
    # Corners of an enlargement without aligned corners are the coarse cells themselves.
    corners = shown[0, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, torch.tensor([0.0, 0.25, 0.5, 1.0]))
    assert torch.equal(shown[1], torch.zeros(8, 8))
    assert torch.equal(overlay_maps(maps, (2, 2))[0], torch.tensor([[0.0, 0.25], [0.5, 1.0]]))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 5), (6, 2), (7, 7)])
def test_an_overlay_lights_the_place_of_a_bright_square(row, column):
    """Stages that only add up what they see: the overlay's brightest pixels are those of the square, to the pixel."""

    looking = nn.Sequential()
    for number in (1, 2, 3):
        looking.add_module(f"layer{number}", nn.Identity())
    looking.add_module("layer4", nn.AvgPool2d(4))
    image = torch.zeros(1, 3, 32, 32)
    image[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1
    for stage, maps in attention_maps(looking, image).items():
        shown = overlay_maps(maps, (32, 32))[0]
        ys, xs = torch.nonzero(shown > 0.5).T
        assert (ys.min(), ys.max(), xs.min(), xs.max()) == (4 * row, 4 * row + 3, 4 * column, 4 * column + 3), stage


def test_pooled_features_are_what_the_last_layer_sees():
    torch.manual_seed(0)
    model = Classifier(NETWORKS["resnet18"](5)).train()
    images = torch.rand(4, 3, 64, 64)
    features = pooled_features(model, images)
    assert features.shape == (4, 512)
    assert model.training
    torch.testing.assert_close(model.backbone.fc(features), model.eval()(images))


def test_embedding_keeps_blobs_apart_and_is_the_same_for_a_seed():
    features, labels = make_blobs(90, n_features=20, centers=3, cluster_std=1.0, random_state=0)
    features = features.astype(np.float32)
    points = embed(features, 0, default_perplexity(90))
    assert points.shape == (90, 2)
    assert silhouette(points, labels) > 0.7
    assert np.array_equal(points, embed(features, 0, default_perplexity(90)))
    assert default_perplexity(1000) == 30
    assert default_perplexity(10) == 3
    with pytest.raises(ValueError, match="perplexity 90 with 90 images"):
        embed(features, 0, 90)


def test_silhouette_by_its_definition():
    """(b − a) / max(a, b) of each point, by brute force; a point alone in its class counts 0."""
    points = np.array([[0.0, 0], [0, 1], [1, 0], [5, 5], [5, 6], [9, 0]])
    labels = np.array([0, 0, 0, 1, 1, 2])
    scores = []
    for i in range(6):
        distance = np.linalg.norm(points - points[i], axis=1)
        own = (labels == labels[i]) & (np.arange(6) != i)
        if not own.any():
            scores.append(0.0)
            continue
        a = distance[own].mean()
        b = min(distance[labels == other].mean() for other in {0, 1, 2} - {labels[i]})
        scores.append((b - a) / max(a, b))
    assert silhouette(points, labels) == pytest.approx(np.mean(scores))
    for alone in (np.zeros(6), np.arange(6)):
        with pytest.raises(ValueError, match="have no silhouette"):
            silhouette(points, alone.astype(int))


def test_landscape_of_a_linear_model_in_closed_form():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 12, generator=generator, dtype=torch.float64)
    image, label = torch.rand(3, 2, 2, generator=generator, dtype=torch.float64), torch.tensor(2)

    def model(images):
        return images.flatten(1) @ weight.T

    steps = torch.linspace(-0.3, 0.3, 7, dtype=torch.float64)
    surface = landscape(model, image, label, steps, seed=4)
    assert surface.shape == (7, 7)
    torch.testing.assert_close(surface[3, 3], F.cross_entropy(model(image[None]), label[None]))
    assert torch.equal(surface, landscape(model, image, label, steps, seed=4))
    assert not torch.equal(surface, landscape(model, image, label, steps, seed=5))

    # ∇ₓ of the cross-entropy of a linear model is Wᵀ(p − e_y).
    p = model(image[None]).softmax(dim=1)[0]
    sign = ((p - F.one_hot(label, 4)) @ weight).sign()
    shift = model(image[None])[0]
    for row, a in enumerate(steps):
        moved = shift + a * (weight @ sign)
        assert surface[row, 3].item() == pytest.approx((moved.logsumexp(0) - moved[2]).item())
    # Along b the direction has one of two signs in each pixel: the logits move by b·W·r for one r.
    above, below = surface[3, 4:], surface[3, :3].flip(0)
    assert not torch.allclose(above, below)


def test_the_model_is_left_as_found():
    model = Classifier(NETWORKS["resnet18"](3)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    landscape(model, torch.rand(3, 32, 32), torch.tensor(1), torch.linspace(-0.1, 0.1, 3))
    attention_maps(model, torch.rand(2, 3, 32, 32))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_variation_and_distance_by_hand():
    """Unit maps along two axes: each lies √½ from their mean, and they lie √2 apart; their length does not count."""
    maps = torch.tensor([[[3.0, 0.0]], [[0.0, 0.5]]])
    assert map_variation(maps) == pytest.approx(0.5**0.5)
    assert map_variation(maps[[0, 0]] * torch.tensor([1.0, 7.0])[:, None, None]) == pytest.approx(0)
    assert map_distance(maps, maps.flip(0)) == pytest.approx(2**0.5)
    assert map_distance(maps, 5 * maps) == pytest.approx(0)


def test_distance_is_one_stage_of_the_attention_map_loss():
    generator = torch.Generator().manual_seed(0)
    clean, adversarial = torch.rand(2, 5, 7, 4, 4, generator=generator)
    maps = [attention_map(features) for features in (clean, adversarial)]
    assert map_distance(*maps) == pytest.approx(attention_map_loss([clean], [adversarial]).item())


@pytest.mark.parametrize(("side", "stage"), [(224, "conv5_x"), (64, "conv4_x"), (32, "conv3_x"), (8, "conv2_x")])
def test_the_stage_that_tells(side, stage):
    """A ResNet halves the image five times: conv2_x has a quarter of its side, conv5_x a 32nd."""
    maps = attention_maps(Classifier(NETWORKS["resnet18"](2)), torch.rand(1, 3, side, side))
    assert comparison_stage(maps) == stage


def test_how_far_a_landscape_goes():
    """‖δ‖∞ is |a| + |b|: some pixel has the same sign in both directions, and some has not."""
    weight, shown = torch.randn(3, 192, generator=torch.Generator().manual_seed(0)), []

    def model(images):
        shown.append(images.detach())
        return images.flatten(1) @ weight.T

    image, steps = torch.rand(3, 8, 8), torch.linspace(-0.5, 0.5, 5)
    landscape(model, image, torch.tensor(0), steps)
    moved = (torch.cat(shown[1:]) - image).abs().amax(dim=(1, 2, 3)).view(5, 5)
    torch.testing.assert_close(moved, steps.abs()[:, None] + steps.abs())


@pytest.mark.parametrize("layers", [{"noise": InputNoise()}, {"randomize": RandomResize()}])
def test_landscape_of_a_randomized_network_is_that_of_one_draw(layers):
    """Two calls agree, torch's own numbers are left alone, and each point is the loss in the image's keyed draw."""
    model = ModelSpec(architecture="resnet18", weights="none").build(4, seed=0, **layers).train()
    image, label, steps = torch.rand(3, 32, 32), torch.tensor(1), torch.linspace(-0.3, 0.3, 3)
    numbers = torch.get_rng_state()
    surface = landscape(model, image, label, steps, seed=2, position=5)
    assert torch.equal(landscape(model, image, label, steps, seed=2, position=5), surface)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not torch.allclose(landscape(model, image, label, steps, seed=2, position=6), surface, atol=1e-3)

    model.eval().requires_grad_(False)
    with torch.enable_grad():
        point = image[None].clone().requires_grad_(True)
        with with_generators(model, generator(2, "analysis", 5, 0)):
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), label[None]), point)
    for row, a in enumerate(steps):
        with torch.no_grad(), with_generators(model, generator(2, "analysis", 5, 0)):
            loss = F.cross_entropy(model(image + a * gradient.sign()), label[None])
        torch.testing.assert_close(surface[row, 1], loss, rtol=1e-3, atol=1e-4)
