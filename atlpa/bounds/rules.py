"""Which operation each of torch's functions and layers is; a new one is a row of a table."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from atlpa.bounds.activations import Rectifier, sigmoid, tanh
from atlpa.bounds.operations import Activation, Affine, MaxPool, Operation
from atlpa.bounds.propagation import Value


class NoBound(ValueError):
    """A network does something of which no bound is known."""


Made = tuple[Operation, Sequence[Value]] | Value
"""An operation and what it reads, or a value as it is."""


def linear(x: Value, weight: Tensor, bias: Tensor | None = None) -> Made:
    """W x + b."""
    return (
        Affine(
            lambda x: F.linear(x, weight.to(x)),
            bias,
            lambda x: F.linear(x, weight.abs().to(x)),
            lambda rows, _: rows @ weight.to(rows),
        ),
        [x],
    )


def conv2d(
    x: Value,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Made:
    """A convolution with zeros around the map."""
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def transposed(rows: Tensor, shape: torch.Size) -> Tensor:
        found: Tensor = conv2d_input((len(rows), *shape), weight.to(rows), rows, **how)  # type: ignore[no-untyped-call]
        return found

    return (
        Affine(
            lambda x: F.conv2d(x, weight.to(x), None, **how),
            None if bias is None else bias.view(-1, 1, 1),
            lambda x: F.conv2d(x, weight.abs().to(x), None, **how),
            None if isinstance(padding, str) else transposed,
        ),
        [x],
    )


def convolution(layer: nn.Conv2d, x: Value) -> Made:
    """A layer's convolution."""
    if layer.padding_mode != "zeros":
        raise NoBound(f"padding_mode {layer.padding_mode}")
    return conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def batch_norm(layer: nn.BatchNorm2d, x: Value) -> Made:
    """What BatchNorm does in evaluation mode: a factor and an offset for each channel."""
    if layer.running_mean is None or layer.running_var is None:
        raise NoBound("statistics of the batch, which tie images together")
    factor = (layer.running_var.to(x.box.lower) + layer.eps).rsqrt()
    factor = factor if layer.weight is None else factor * layer.weight
    offset = -layer.running_mean * factor
    offset = offset if layer.bias is None else offset + layer.bias
    shape = (-1, *(1,) * (x.box.lower.ndim - 2))
    return scaled(x, factor.view(shape), offset.view(shape))


def scaled(x: Value, factor: Any, offset: Tensor | None = None) -> Made:
    """Each number times a constant, plus a constant."""
    factor = _constant(x, factor)
    return Affine(lambda x: x * factor.to(x), offset, lambda x: x * factor.abs().to(x), single=True), [x]


def _constant(x: Value, given: Any) -> Tensor:
    """A constant beside a value; refused where it would widen the value, or where each image has its own."""
    constant: Tensor = given if isinstance(given, Tensor) else torch.tensor(given, dtype=torch.float64)
    shape = x.box.lower.shape
    own = constant.ndim == len(shape) and len(constant) > 1
    fits = constant.ndim <= len(shape) and all(
        here in (1, there) for here, there in zip(reversed(constant.shape), reversed(shape), strict=False)
    )
    if own or not fits:
        raise NoBound(f"constants of shape {tuple(constant.shape)} for values of shape {tuple(shape)}")
    return constant


def shifted(x: Value, offset: Any) -> Made:
    """Each number plus a constant."""
    offset = _constant(x, offset)
    return Affine(lambda x: x, offset[0] if offset.ndim == x.box.lower.ndim else offset, single=True), [x]


def add(x: Any, y: Any, *, alpha: float = 1) -> Made:
    """x + α y, of two values or of one and a constant."""
    if isinstance(x, Value) and isinstance(y, Value):
        if x.box.lower.shape != y.box.lower.shape:
            raise NoBound("a sum of different shapes")
        return Affine(lambda x, y: x + alpha * y, None, lambda x, y: x + abs(alpha) * y), [x, y]
    if isinstance(x, Value):
        return shifted(x, alpha * y)
    return scaled(y, alpha, _constant(y, x))


def sub(x: Any, y: Any) -> Made:
    """x − y, of two values or of one and a constant."""
    return add(x, y, alpha=-1)


def mul(x: Any, y: Any) -> Made:
    """A value times a constant."""
    if isinstance(x, Value) and isinstance(y, Value):
        raise NoBound("a product of two values")
    return scaled(x, y) if isinstance(x, Value) else scaled(y, x)


def div(x: Any, y: Any) -> Made:
    """A value over a constant."""
    if isinstance(y, Value):
        raise NoBound("division by a value")
    divisor = _constant(x, y)
    return Affine(lambda x: x / divisor.to(x), None, lambda x: x / divisor.abs().to(x), single=True), [x]


def cat(values: Sequence[Any], dim: int = 0) -> Made:
    """Values side by side, in any dimension but that of the batch."""
    if not all(isinstance(value, Value) for value in values) or dim % values[0].box.lower.ndim == 0:
        raise NoBound("what is joined with constants, or over images")
    return Affine(lambda *parts: torch.cat(parts, dim)), values


def shaped(function: Callable[..., Tensor], x: Value, *arguments: Any, **options: Any) -> Made:
    """The same numbers in the same order in another shape, in which images stay the first dimension."""
    before = x.box.lower
    after = function(before, *arguments, **options)
    if after.shape[:1] != before.shape[:1] or after.numel() != before.numel():
        raise NoBound(f"a change of shape from {tuple(before.shape)} to {tuple(after.shape)}")
    return Affine(lambda x: x.reshape(-1, *after.shape[1:]), single=True), [x]


def within(function: Callable[..., Tensor], x: Value, *arguments: Any, **options: Any) -> Made:
    """Means, sums or some of an image's own numbers, or their order: no weight is negative."""

    def weigh(x: Tensor) -> Tensor:
        return function(x, *arguments, **options)

    shapes = [weigh(x.box.lower.new_zeros(count, *x.box.lower.shape[1:])).shape for count in (1, 2)]
    if [*shapes[0][:1], *shapes[1][:1]] != [1, 2] or shapes[0][1:] != shapes[1][1:]:
        raise NoBound("what mixes or picks images")
    return Affine(weigh), [x]


def max_pool2d(
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Made:
    """The largest number of each window."""
    if return_indices:
        raise NoBound("the places of the largest")
    how = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    return MaxPool(kernel_size=kernel_size, **how), [x]


def relu(x: Value, inplace: bool = False) -> Made:
    """max(x, 0)."""
    del inplace
    return Rectifier(), [x]


def leaky_relu(x: Value, negative_slope: float = 0.01, inplace: bool = False) -> Made:
    """max(x, a x)."""
    del inplace
    if not 0 <= negative_slope <= 1:
        raise NoBound(f"a slope of {negative_slope:g}")
    return Rectifier(negative_slope), [x]


def clamped(x: Value, min: Any = None, max: Any = None) -> Made:
    """Numbers cut off at constants."""
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        raise NoBound("tensors as limits")
    return rising(x, lambda x: x.clamp(min, max))


def padded(x: Value, pad: Any, mode: str = "constant", value: float | None = None) -> Made:
    """A map with a margin of zeros, or of its own numbers."""
    if value:
        raise NoBound(f"a margin of {value:g}")
    return within(F.pad, x, pad, mode)


def elu(x: Value, alpha: float = 1.0, inplace: bool = False) -> Made:
    """An exponential linear unit."""
    del inplace
    if alpha < 0:
        raise NoBound(f"alpha {alpha:g}")
    return rising(x, lambda x: F.elu(x, alpha))


def dropout(x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Made:
    """Nothing in evaluation mode."""
    del p, inplace
    if training:
        raise NoBound("draws in evaluation mode")
    return x


def cast(x: Value, *arguments: Any, **options: Any) -> Made:
    """Another device or precision, of which bounds know nothing, but none that is coarse."""
    given = [*arguments, *options.values()]
    if any(isinstance(one, torch.dtype) and one not in (torch.float32, torch.float64) for one in given):
        raise NoBound("numbers that are rounded")
    return x


def rising(x: Value, function: Callable[[Tensor], Tensor]) -> Made:
    """Another activation that nowhere falls."""
    return Activation(function), [x]


def same(x: Value, *_options: Any, **_more: Any) -> Made:
    """What leaves values as they are in evaluation mode."""
    return x


def activation(function: Callable[[Tensor], Tensor]) -> Callable[..., Made]:
    """The rule of an activation that nowhere falls and has no options but ``inplace``."""

    def rule(x: Value, inplace: bool = False) -> Made:
        del inplace
        return rising(x, function)

    return rule


MODULES: dict[type[nn.Module], Callable[[Any, Value], Made]] = {
    nn.Linear: lambda layer, x: linear(x, layer.weight, layer.bias),
    nn.Conv2d: convolution,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.ReLU: lambda _, x: relu(x),
    nn.LeakyReLU: lambda layer, x: leaky_relu(x, layer.negative_slope),
    nn.Sigmoid: lambda _, x: (sigmoid(), [x]),
    nn.Tanh: lambda _, x: (tanh(), [x]),
    nn.ReLU6: lambda _, x: rising(x, F.relu6),
    nn.Hardtanh: lambda layer, x: clamped(x, layer.min_val, layer.max_val),
    nn.Hardsigmoid: lambda _, x: rising(x, F.hardsigmoid),
    nn.ELU: lambda layer, x: elu(x, layer.alpha),
    nn.SELU: lambda _, x: rising(x, F.selu),
    nn.Softplus: lambda layer, x: rising(x, partial(F.softplus, beta=layer.beta, threshold=layer.threshold)),
    nn.MaxPool2d: lambda layer, x: max_pool2d(
        x, layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode, layer.return_indices
    ),
    nn.AvgPool2d: within,
    nn.AdaptiveAvgPool2d: within,
    nn.ZeroPad2d: within,
    nn.Flatten: shaped,
    nn.Identity: lambda _, x: x,
    nn.Dropout: lambda _, x: x,
    nn.Dropout2d: lambda _, x: x,
}
"""Layer → its rule, called with the layer and what it reads."""

FUNCTIONS: dict[Callable[..., Any], Callable[..., Made]] = {
    F.linear: linear,
    F.conv2d: conv2d,
    F.relu: relu,
    torch.relu: relu,
    F.leaky_relu: leaky_relu,
    torch.sigmoid: lambda x: (sigmoid(), [x]),
    torch.tanh: lambda x: (tanh(), [x]),
    F.relu6: activation(F.relu6),
    F.hardsigmoid: activation(F.hardsigmoid),
    F.elu: elu,
    F.selu: activation(F.selu),
    torch.clamp: clamped,
    F.max_pool2d: max_pool2d,
    F.avg_pool2d: partial(within, F.avg_pool2d),
    F.adaptive_avg_pool2d: partial(within, F.adaptive_avg_pool2d),
    F.pad: padded,
    F.dropout: dropout,
    torch.mean: partial(within, torch.mean),
    torch.sum: partial(within, torch.sum),
    torch.flatten: partial(shaped, torch.flatten),
    torch.reshape: partial(shaped, torch.reshape),
    torch.squeeze: partial(shaped, torch.squeeze),
    torch.unsqueeze: partial(shaped, torch.unsqueeze),
    torch.permute: partial(within, torch.permute),
    torch.transpose: partial(within, torch.transpose),
    operator.getitem: partial(within, operator.getitem),
    torch.cat: cat,
    **dict.fromkeys((operator.add, operator.iadd, torch.add), add),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub), sub),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul), mul),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), div),
    **dict.fromkeys((operator.neg, torch.neg), lambda x: mul(x, -1.0)),
}
"""Function → its rule, called as the function is."""

WRITTEN: dict[str, Callable[..., Made]] = {
    "relu": relu,
    "add": add,
    "sub": sub,
    "mul": mul,
    "div": div,
    "clamp": clamped,
}
"""Methods that there are in place too."""

METHODS: dict[str, Callable[..., Made]] = {
    **{name: partial(shaped, getattr(Tensor, name)) for name in ("view", "reshape", "flatten", "squeeze", "unsqueeze")},
    **{name: partial(within, getattr(Tensor, name)) for name in ("mean", "sum", "permute", "transpose")},
    **{name + end: rule for name, rule in WRITTEN.items() for end in ("", "_")},
    "sigmoid": FUNCTIONS[torch.sigmoid],
    "tanh": FUNCTIONS[torch.tanh],
    "to": cast,
    **dict.fromkeys(("contiguous", "clone", "detach", "float", "double"), same),
}
"""Method of a tensor → its rule, called as the method is."""
