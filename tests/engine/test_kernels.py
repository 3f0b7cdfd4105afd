"""Each way to carry out a convolution, against torch's own convolution and autograd."""

import pytest
import torch
from torch.nn import functional as F

from atlpa.engine.choice import kernel_for
from atlpa.engine.kernels import Fused, Plain, Weights
from atlpa.engine.special import Dense, FewChannels, Sparse
from tests.engine.test_prepare import needs_bfloat16

# (kernel class, batch, channels, height, width, outputs, kernel, stride, padding, dilation, groups)
LAYERS = [
    (FewChannels, 2, 3, 32, 32, 8, 7, 2, 3, 1, 1),
    (FewChannels, 2, 3, 33, 30, 8, 7, 2, 3, 1, 1),
    (FewChannels, 2, 3, 31, 31, 4, 4, 2, 0, 1, 1),  # the last row and column are read by no place of the kernel
    (FewChannels, 3, 1, 29, 34, 4, 5, 3, 1, 1, 1),
    (FewChannels, 2, 4, 16, 16, 4, 2, 4, 0, 1, 1),  # a kernel smaller than its stride
    (Fused, 2, 8, 9, 12, 16, 3, 1, 1, 1, 1),
    (Fused, 2, 8, 9, 12, 16, 1, 1, 0, 1, 1),
    (Fused, 2, 8, 9, 12, 16, 1, 1, 1, 1, 1),  # more padding than the turned kernel could have
    (Fused, 2, 8, 9, 12, 16, 3, 2, 1, 1, 1),
    (Fused, 2, 8, 12, 12, 8, 3, 1, 2, 2, 1),
    (Fused, 2, 8, 12, 12, 8, 3, 1, 1, 1, 4),
    (Sparse, 2, 8, 9, 12, 16, 1, 2, 0, 1, 1),
    (Sparse, 2, 8, 10, 11, 16, 1, 3, 0, 1, 1),
    (Fused, 2, 8, 9, 12, 16, 1, 2, 1, 1, 1),  # a stride that starts in the padding
    (Dense, 5, 16, 2, 2, 8, 3, 1, 1, 1, 1),
    (Dense, 5, 16, 1, 3, 8, 3, 2, 1, 1, 1),
    (Dense, 5, 16, 1, 1, 8, 1, 1, 0, 1, 1),
    (Dense, 5, 16, 3, 2, 8, 5, 2, 2, 1, 1),
]


MANY = 1000  # passes: enough for any preparation


def of(layer):
    """A layer's weights and an input, both in channels-last memory."""
    _, batch, channels, height, width, outputs, kernel, stride, padding, dilation, groups = layer
    torch.manual_seed(0)
    weight = torch.randn(outputs, channels // groups, kernel, kernel).to(memory_format=torch.channels_last)
    x = torch.randn(batch, channels, height, width).to(memory_format=torch.channels_last)
    geometry = ((stride,) * 2, (padding,) * 2, (dilation,) * 2, groups)
    return Weights(weight, torch.randn(outputs), *geometry), x


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer[0].__name__}-{'-'.join(map(str, layer[1:]))}")
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("plain", [True, False])
def test_equals_torch(layer, relu, joined, plain):
    w, x = of(layer)
    kernel = Plain(w) if plain else kernel_for(w, x.shape, MANY)
    assert plain or type(kernel) is layer[0]
    point = x.double().requires_grad_(True)
    geometry = (w.stride, w.padding, w.dilation, w.groups)
    expected = F.conv2d(point, w.weight.double(), w.bias.double(), *geometry)
    gradient = torch.randn(expected.shape).to(memory_format=torch.channels_last)
    (expected_gradient,) = torch.autograd.grad(expected, point, gradient.double())

    residual = torch.randn(expected.shape).to(memory_format=torch.channels_last) if joined else None
    total = expected.detach() + (residual.double() if joined else 0)
    found = kernel.forward(x, residual, relu)
    torch.testing.assert_close(found.double(), total.relu() if relu else total, atol=1e-4, rtol=1e-4)
    back = kernel.backward(gradient, x.shape)
    torch.testing.assert_close(back.double(), expected_gradient, atol=1e-4, rtol=1e-4)
    elsewhere = torch.randn(x.shape).to(memory_format=torch.channels_last)
    total = elsewhere.double() + expected_gradient
    kernel.add_backward(elsewhere, gradient)
    torch.testing.assert_close(elsewhere.double(), total, atol=1e-4, rtol=1e-4)


def test_another_batch_than_the_weights_were_packed_for():
    """White-box lanes come and go, so that a batch has any size."""
    for layer in [LAYERS[0], LAYERS[5], LAYERS[11], LAYERS[14]]:
        w, x = of(layer)
        kernel = kernel_for(w, x.shape, MANY)
        for more in (x[:1], torch.cat([x] * 9)):
            expected = F.conv2d(more, w.weight, w.bias, w.stride, w.padding)
            torch.testing.assert_close(kernel.forward(more, None, False), expected, atol=1e-4, rtol=1e-4)


def test_little_work_is_not_prepared_for():
    for layer in LAYERS[5:]:
        w, x = of(layer)
        assert type(kernel_for(w, x.shape, 1)) is Plain


@needs_bfloat16
def test_bfloat16_is_as_good_as_its_eight_bits():
    for layer in LAYERS:
        w, x = of(layer)
        low = Weights(w.weight.bfloat16(), w.bias.bfloat16(), w.stride, w.padding, w.dilation, w.groups)
        kernel = kernel_for(low, x.shape, MANY)
        expected = Plain(w).forward(x, None, False)
        error = (kernel.forward(x.bfloat16(), None, False).float() - expected).norm() / expected.norm()
        assert error < 2**-7
        gradient = torch.randn_like(expected)
        expected = Plain(w).backward(gradient, x.shape)
        error = (kernel.backward(gradient.bfloat16(), x.shape).float() - expected).norm() / expected.norm()
        assert error < 2**-7
