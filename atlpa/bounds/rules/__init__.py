"""Which operation each of torch's functions and layers is; a new one is a row of a table."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atlpa.bounds.activations import sigmoid, tanh
from atlpa.bounds.propagation import Value
from atlpa.bounds.rules.activations import activation, clamped, elu, leaky_relu, max_pool2d, relu, rising
from atlpa.bounds.rules.arithmetic import add, div, mul, sub
from atlpa.bounds.rules.made import Made, NoBound
from atlpa.bounds.rules.shapes import cast, cat, dropout, padded, same, shaped, within
from atlpa.bounds.rules.weights import batch_norm, conv2d, convolution, linear

__all__ = ["FUNCTIONS", "METHODS", "MODULES", "Made", "NoBound"]

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
