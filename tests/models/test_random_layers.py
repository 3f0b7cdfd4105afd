"""Noise and random resizing: their distributions, and where their draws come from."""

import math

import pytest
import torch
from scipy.stats import chisquare, kstest
from torch.nn import functional as F

from atlpa.model_state import RandomLayer, random_layers, with_generators
from atlpa.models import Averaged, InputNoise, ModelSpec, RandomResize
from atlpa.randomness import generator


def one_each(count, seed=0):
    return [generator(seed, "test", number) for number in range(count)]


@pytest.mark.parametrize(
    ("distribution", "scale", "cumulative", "arguments"),
    [("gaussian", 0.25, "norm", (0, 0.25)), ("uniform", 0.2, "uniform", (-0.2, 0.4))],
)
@pytest.mark.parametrize("per_image", [True, False])
def test_noise_has_its_distribution(distribution, scale, cumulative, arguments, per_image):
    images = torch.full((8, 3, 64, 64), 0.5, dtype=torch.float64)
    source = one_each(8) if per_image else generator(0, "test")
    noise = InputNoise(distribution=distribution, scale=scale)(images, source) - 0.5
    assert kstest(noise.flatten().numpy(), cumulative, arguments).pvalue > 0.01
    places = noise.flatten(start_dim=2)  # every image, channel and pixel has a draw of its own
    assert torch.corrcoef(places.flatten(0, 1)).triu(1).abs().max() < 0.08
    assert torch.corrcoef(torch.stack([places[..., 1:].flatten(), places[..., :-1].flatten()]))[0, 1].abs() < 0.01


def boxes(count=6000, size=32):
    """Side, top, left of the image inside each of many random frames."""
    frames = RandomResize(ratio="331/299")(torch.ones(count, 1, size, size), generator(0, "test"))
    rows, columns = frames.amax(dim=(1, 3)), frames.amax(dim=(1, 2))
    sides = rows.sum(dim=1).long()
    assert torch.equal(sides, columns.sum(dim=1).long())
    assert torch.equal(frames.sum(dim=(1, 2, 3)).long(), sides**2)  # ones in the box, zeros around it
    return frames.shape[-1], sides, rows.argmax(dim=1), columns.argmax(dim=1)


def test_sizes_and_offsets_are_uniform():
    frame, sides, tops, lefts = boxes()
    assert frame == 35
    assert sides.unique().tolist() == [32, 33, 34]
    assert chisquare(sides.bincount()[32:]).pvalue > 0.01
    for side in (32, 33, 34):
        for offsets in (tops[sides == side], lefts[sides == side]):
            counts = offsets.bincount()
            assert len(counts) == frame - side + 1
            assert chisquare(counts).pvalue > 0.01
    joint = torch.bincount(tops[sides == 32] * 4 + lefts[sides == 32])
    assert len(joint) == 16
    assert chisquare(joint).pvalue > 0.01


@pytest.mark.parametrize(("size", "frame"), [(299, 331), (224, 248), (64, 71), (8, 9), (4, 5)])
def test_the_sources_proportion(size, frame):
    assert RandomResize().side(size) == frame
    assert RandomResize()(torch.ones(1, 3, size, size)).shape == (1, 3, frame, frame)


def test_the_image_inside_is_the_nearest_neighbor_one():
    image = torch.rand(1, 3, 16, 16, generator=generator(0, "test"))
    for seed in range(20):
        frame = RandomResize(ratio=1.5)(image + 1, generator(seed, "test"))[0]
        rows, columns = (frame.amax(dim=(0, d)).nonzero().flatten() for d in (2, 1))
        side = len(rows)
        inside = frame[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        nearest = [math.floor(place * 16 / side) for place in range(side)]
        assert torch.equal(inside, (image + 1)[0][:, nearest][:, :, nearest])


def one_by_one(images, ratio, generators):
    """Each image by itself, resized and padded by torch."""
    size, framed = images.shape[-1], []
    side = max(size + 1, round(size * ratio))
    for image, source in zip(images, generators, strict=True):
        inner, down, across = torch.rand(3, dtype=images.dtype, generator=source).double().tolist()
        inner = size + int(inner * (side - size))
        top, left = (int(chance * (side - inner + 1)) for chance in (down, across))
        resized = F.interpolate(image[None], size=(inner, inner))
        framed.append(F.pad(resized, (left, side - inner - left, top, side - inner - top)))
    return torch.cat(framed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("size", "ratio"), [(7, 1.9), (32, 331 / 299), (80, 1.25), (224, 331 / 299)])
def test_resizing_together_is_resizing_one_by_one_to_the_bit(size, ratio, layout, dtype):
    """Forward and backward; 80 · 92 / 80 and its like is where rounding tells."""
    count = 3000 // size
    images = torch.randn(count, 3, size, size, dtype=dtype).to(memory_format=layout)
    weights, found = None, []
    for way in (
        lambda x: RandomResize(ratio=ratio)(x, one_each(count)),
        lambda x: one_by_one(x, ratio, one_each(count)),
    ):
        points = images.clone().requires_grad_(True)
        frames = way(points)
        weights = torch.randn_like(frames) if weights is None else weights
        (gradient,) = torch.autograd.grad((weights * frames).sum(), points)
        found.append((frames, gradient))
    for together, alone in zip(*found, strict=True):
        assert torch.equal(together, alone)


def test_resizing_in_half_precision_moves_whole_pixels():
    """Numbers of the pixels as values: a place that is off by one would show."""
    rows = torch.arange(224.0).bfloat16()[:, None].expand(6, 1, -1, 224)  # every whole number to 256 is one
    for images, axis in ((rows, 2), (rows.transpose(2, 3), 3)):
        frames = RandomResize()(images + 1, one_each(6))
        assert frames.dtype == torch.bfloat16
        along = frames.amax(dim=5 - axis).float()
        for frame in along[:, 0]:
            inside = frame[frame > 0] - 1
            scale = 224 / len(inside)
            assert torch.equal(inside, (torch.arange(len(inside)) * scale).floor())


def test_a_device_is_never_waited_for():
    """Tensors without data, which nobody could bring back to look at."""
    images = torch.rand(4, 3, 16, 16, device="meta")
    assert RandomResize()(images).shape == (4, 3, 18, 18)
    assert InputNoise()(images).shape == images.shape


def test_random_resizing_has_its_gradient():
    images = torch.rand(3, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: RandomResize(ratio=1.6)(x, one_each(3)), images)


def test_no_image_is_no_error():
    assert RandomResize()(torch.rand(0, 3, 8, 8)).shape == (0, 3, 9, 9)


def test_only_square_images():
    with pytest.raises(ValueError, match="16×8"):
        RandomResize()(torch.rand(1, 3, 16, 8))


def network(**layers):
    return ModelSpec(architecture="resnet18", weights="none").build(7, seed=0, **layers).eval()


@pytest.mark.parametrize("layers", [{"noise": InputNoise()}, {"randomize": RandomResize()}])
def test_what_an_image_meets_does_not_depend_on_its_batch(layers):
    model, pictures = network(**layers), torch.rand(5, 3, 32, 32)
    with torch.no_grad():
        with with_generators(model, one_each(5)):
            together = model(pictures)
        for number, source in enumerate(one_each(5)):
            with with_generators(model, [source]):
                torch.testing.assert_close(model(pictures[number : number + 1])[0], together[number])
        with with_generators(model, one_each(5, seed=1)):
            assert not torch.allclose(model(pictures), together, atol=1e-3)
    assert all(layer.generators is None for layer in random_layers(model))


def test_noise_comes_before_normalization_and_padding_after():
    """A network with the layers is its plain twin on the noisy image, and on the framed normalized one."""
    pictures, plain = torch.rand(2, 3, 32, 32), network()
    noisy, framed = network(noise=InputNoise()), network(randomize=RandomResize())
    with torch.no_grad(), with_generators(noisy, one_each(2)), with_generators(framed, one_each(2)):
        torch.testing.assert_close(noisy(pictures), plain(InputNoise()(pictures, one_each(2))))
        inside = RandomResize()((pictures - plain.mean) / plain.std, one_each(2))
        torch.testing.assert_close(framed(pictures), plain(inside * plain.std + plain.mean))


def test_noise_is_for_training_too_resizing_is_not():
    pictures = torch.rand(4, 3, 32, 32)
    plain, noisy, framed = network(), network(noise=InputNoise()), network(randomize=RandomResize())
    expected = plain.train()(pictures)
    assert torch.equal(framed.train()(pictures), expected)
    assert not torch.allclose(noisy.train()(pictures), expected)
    assert list(framed.state_dict()) == list(plain.state_dict()) == list(noisy.state_dict())


def test_averaged_predicts_with_the_mean_probability():
    model, pictures = network(noise=InputNoise()), torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        with with_generators(averaged := Averaged(model, 4), one_each(3)):
            actual = averaged(pictures)
        with with_generators(model, one_each(3)):
            expected = sum(F.softmax(model(pictures), dim=1) for _ in range(4)) / 4
    torch.testing.assert_close(actual.exp(), expected)


def test_generators_nest_and_come_back_after_an_error():
    layer = RandomLayer(InputNoise(), in_training=True)
    outer, two = generator(0, "outer"), one_each(2)
    with with_generators(layer, outer):
        with pytest.raises(ValueError, match="2 generators for 3 images"), with_generators(layer, two):
            layer(torch.rand(3, 3, 4, 4))
        assert layer.generators is outer
    assert layer.generators is None


@pytest.mark.parametrize(
    ("component", "fields", "message"),
    [
        (InputNoise, {"scale": 0}, "greater than 0"),
        (InputNoise, {"scale": 64}, "outside"),
        (InputNoise, {"distribution": "laplace"}, "'gaussian' or 'uniform'"),
        (RandomResize, {"ratio": 1}, "greater than 1"),
        (RandomResize, {"ratio": 5}, "less than or equal to 2"),
    ],
)
def test_senseless_settings(component, fields, message):
    with pytest.raises(ValueError, match=message):
        component(**fields)
