"""Convolutions of small maps against torch's own: values, gradients, second gradients, and what is left alone."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from atlpa.engine import SmallMaps
from atlpa.engine.small_maps import _Product

GEOMETRIES = [  # kernel, stride, padding, height and width of the input
    (3, 1, 1, (4, 4)),
    (3, 2, 1, (8, 7)),
    (3, 1, 0, (5, 3)),
    (2, 2, 0, (5, 5)),
    (5, 3, 2, (6, 9)),
    (4, 1, 1, (2, 3)),
]


WAYS = {
    "positions": lambda x, w, b, stride, padding: F.conv2d(x, w, b, stride, padding, (1, 1), 1),
    "names": lambda x, w, b, stride, padding: F.conv2d(input=x, weight=w, bias=b, stride=stride, padding=padding),
    "both": lambda x, w, b, stride, padding: F.conv2d(x, w, b, stride, padding=padding),
}


def case(kernel, size, dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(3, 2, *size, generator=draw, dtype=dtype, requires_grad=True)
    return images, torch.randn(4, 2, kernel, kernel, generator=draw, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), GEOMETRIES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("given_as", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("both", [lambda number: (number, number), lambda number: [number], lambda number: number])
def test_values_and_gradients_are_those_of_the_convolution(kernel, stride, padding, size, layout, given_as, both):
    images, weight = case(kernel, size)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(images, weight, bias, (stride, stride), (padding, padding))
    with SmallMaps():
        found = given_as(images.contiguous(memory_format=layout), weight, bias, both(stride), both(padding))
    assert "_Product" in str(found.grad_fn.next_functions)  # it was taken
    torch.testing.assert_close(found, expected)
    signal = torch.randn_like(expected)
    for ours, torchs in zip(*(torch.autograd.grad(y, (images, weight, bias), signal) for y in (found, expected)),
                            strict=True):  # fmt: skip
        torch.testing.assert_close(ours, torchs)


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), GEOMETRIES[:4])
def test_second_gradients_are_those_of_finite_differences(kernel, stride, padding, size):
    assert torch.autograd.gradgradcheck(lambda *x: _Product.apply(*x, stride, padding), case(kernel, size))


def test_one_side_alone_may_want_a_gradient():
    images, weight = case(3, (4, 4))
    for wanted in ((images.detach(), weight), (images, weight.detach())):
        _Product.apply(*wanted, 1, 1).sum().backward()
    expected_images, expected_weight = torch.autograd.grad(F.conv2d(images, weight, padding=1).sum(), (images, weight))
    torch.testing.assert_close(images.grad, expected_images)
    torch.testing.assert_close(weight.grad, expected_weight)


@pytest.mark.parametrize("channels", [1, 3, 4, 6, 15])
@pytest.mark.parametrize(("stride", "padding"), [((2, 2), (0, 0)), ((1, 3), "valid"), (2, 0), ([2], [0])])
@pytest.mark.parametrize("given_as", WAYS.values(), ids=WAYS)
def test_strided_places_of_few_channels(channels, stride, padding, given_as):
    """Where oneDNN's own gradient of the weights, of channels that lie last, is wrong or ends the process."""
    draw = torch.Generator().manual_seed(0)
    images, weight = torch.randn(4, channels, 8, 8, generator=draw), torch.randn(8, channels, 1, 1, generator=draw)
    bias, (first, second) = torch.randn(8), np.broadcast_to(stride, 2)
    exact = [tensor.double().requires_grad_() for tensor in (images, weight, bias)]
    expected = torch.einsum("bchw,oc->bohw", exact[0][:, :, ::first, ::second], exact[1][:, :, 0, 0])
    expected = expected + exact[2][:, None, None]
    given = [images.contiguous(memory_format=torch.channels_last), weight, bias]
    given = [tensor.requires_grad_() for tensor in given]
    for _ in range(20):  # what is overwritten is not always what is read
        with SmallMaps():
            found = given_as(*given, stride, padding)
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
        signal = torch.randn(found.shape, generator=draw)
        for ours, true in zip(
            torch.autograd.grad(found, given, signal),
            torch.autograd.grad(expected, exact, signal.double(), retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(ours.double(), true, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, (3, 1)),
        nn.Conv2d(4, 4, 3, stride=(1, 2)),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    ],
    ids=str,
)
def test_what_it_does_not_know_is_torchs(layer):
    """Bit for bit; and so is a map that is not small."""
    images = torch.randn(2, 4, 4, 4)
    wide = torch.randn(2, 4, 9, 9)
    plain = nn.Conv2d(4, 4, 3, padding=1)
    expected = layer(images), plain(wide)
    with SmallMaps():
        assert torch.equal(layer(images), expected[0]) or layer.padding_mode == "reflect"
        assert torch.equal(plain(wide), expected[1])
        torch.testing.assert_close(layer(images), expected[0])


def test_under_autocast_it_computes_in_bfloat16_and_gradients_are_the_weights_own_type():
    layer, images = nn.Conv2d(8, 8, 3, padding=1), torch.randn(2, 8, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        expected = layer(images)
        with SmallMaps():
            found = layer(images)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    found.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32
