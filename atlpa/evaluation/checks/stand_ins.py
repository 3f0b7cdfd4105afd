"""Operations without a useful slope keep their values and get another's gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

LEAK = 0.1
"""The slope of what is cut off: below a ReLU, beyond a clamp."""
RANGE = 10.0
"""Differences of logits beyond which a softmax is taken for saturated: e⁻¹⁰ is its smallest share."""
WIDTH = 0.1
"""Of a threshold that is made soft, as a share of the deviation of what is compared."""

Operation = Callable[..., Any]


class _Backward(torch.autograd.Function):
    """One tensor's values with another's gradient."""

    @staticmethod
    def forward(_: Any, exact: Tensor, stand_in: Tensor) -> Tensor:
        return exact.to(stand_in.dtype, copy=True)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


def with_gradient_of(exact: Tensor, stand_in: Tensor) -> Tensor:
    """The values of one tensor, bit for bit, and the gradient of another of the same shape."""
    result: Tensor = _Backward.apply(exact.detach(), stand_in)
    return result


def needs_gradient(value: object) -> bool:
    """Whether a gradient passes here."""
    return isinstance(value, Tensor) and value.requires_grad


def _identity(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return with_gradient_of(func(x.detach(), *args, **kwargs), x)


def _nothing(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """What is left over by a division repeats, and leads nowhere on the whole."""
    return with_gradient_of(func(x.detach(), *args, **kwargs), 0 * x)


def _quotient(func: Operation, x: Tensor, by: Any, **kwargs: Any) -> Tensor:
    return with_gradient_of(func(x.detach(), by, **kwargs), x / by)


def _leaky(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    in_place = bool(kwargs.pop("inplace", False))
    exact = func(x.clone(), *args, **kwargs)
    leaking = with_gradient_of(exact, (1 - LEAK) * exact + LEAK * x)
    return x.copy_(leaking) if in_place else leaking


def _softmax(func: Operation, x: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Tensor:
    """At a temperature that leaves no class without a share; 1 unless it is saturated."""
    exact, along = func(x.detach(), dim, *args, **kwargs), -1 if dim is None else dim
    spread = (x.amax(dim=along, keepdim=True) - x.amin(dim=along, keepdim=True)).detach()
    return with_gradient_of(exact, (x / (spread / RANGE).clamp(min=1)).softmax(dim=along))


def _squashed(func: Operation, x: Tensor) -> Tensor:
    """Sigmoid and tanh, likewise."""
    largest = x.detach().abs().amax() / (RANGE / 2)
    return with_gradient_of(func(x.detach()), func(x / largest.clamp(min=1)))


def _threshold(sign: float) -> Operation:
    """A comparison is a bool, which has no gradient; it keeps its soft form for when it becomes a number."""

    def compare(func: Operation, x: Any, other: Any, **kwargs: Any) -> Tensor:
        exact: Tensor = func(x, other, **kwargs)
        ahead = sign * (x - other)
        spread = ahead.detach().std() if ahead.numel() > 1 else ahead.detach().abs()
        exact.soft = torch.sigmoid(ahead / (WIDTH * spread).clamp(min=1e-6))  # type: ignore[attr-defined]
        return exact

    return compare


def _as_number(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    exact, soft = func(x, *args, **kwargs), getattr(x, "soft", x)
    if not isinstance(exact, Tensor) or not needs_gradient(soft):
        return exact
    if not exact.is_floating_point():
        exact.soft = soft  # type: ignore[attr-defined]
        return exact
    return exact if soft is x else with_gradient_of(exact, soft.to(exact.dtype))


def _whole(func: Operation, *args: Any, **kwargs: Any) -> Tensor:
    """Whole numbers have no gradient; they keep what they were made of for when they become numbers again."""
    made_of = next(value for value in args if needs_gradient(getattr(value, "soft", value)))
    exact: Tensor = func(*(value.detach() if isinstance(value, Tensor) else value for value in args), **kwargs)
    exact.soft = getattr(made_of, "soft", made_of)  # type: ignore[attr-defined]
    return exact


def _assigned(func: Operation, x: Tensor, index: Any, value: Any) -> None:
    """What is overwritten by a constant keeps its gradient."""
    before = x.clone()
    func(x, index, value)
    if not needs_gradient(value):
        x.copy_(with_gradient_of(x.detach().clone(), before))


def _index(func: Operation, x: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Tensor:
    exact: Tensor = func(x, dim, *args, **kwargs)
    if dim is not None:
        spread = (x.amax(dim=dim, keepdim=True) - x.amin(dim=dim, keepdim=True)).detach()
        exact.soft = (x / (spread / RANGE).clamp(min=1)).softmax(dim=dim)  # type: ignore[attr-defined]
    return exact


def _one_hot(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    exact, soft = func(x, *args, **kwargs), getattr(x, "soft", None)
    return exact if soft is None or soft.shape != exact.shape else with_gradient_of(exact, soft)


def _is_mask(value: object) -> bool:
    if not isinstance(value, Tensor) or value.requires_grad:
        return False
    return value.dtype == torch.bool or (value.ndim > 0 and bool(((value == 0) | (value == 1)).all()))


def _masked_product(func: Operation, x: Any, other: Any, **kwargs: Any) -> Tensor:
    """A mask lets everything through."""
    exact: Tensor = func(x, other, **kwargs)
    for signal, mask in ((x, other), (other, x)):
        if needs_gradient(signal) and _is_mask(mask):
            return with_gradient_of(exact, signal.expand_as(exact))
    return exact


def _choice(func: Operation, condition: Tensor, x: Any = None, other: Any = None, **kwargs: Any) -> Any:
    """What one branch replaces by a constant keeps the other branch's gradient."""
    exact = func(condition, x, other, **kwargs) if x is not None else func(condition)
    signals = [branch for branch in (condition, x, other) if needs_gradient(branch)]  # as a method it is x.where(…)
    return with_gradient_of(exact, signals[0].expand_as(exact)) if len(signals) == 1 else exact


def _filled(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    exact: Tensor = func(x, *args, **kwargs)
    return with_gradient_of(exact, x.expand_as(exact))


def _rules(rule: Operation, names: str) -> dict[str, Operation]:
    return dict.fromkeys(names.split(), rule)


STAND_INS: Mapping[str, Operation] = {
    **_rules(_identity, "round special_round sign sgn heaviside floor ceil trunc fix hardshrink threshold"),
    **_rules(_identity, "fake_quantize_per_tensor_affine"),
    **_rules(_whole, "int long short char byte bucketize searchsorted"),
    **_rules(_nothing, "remainder fmod frac __mod__"),
    **_rules(_quotient, "floor_divide __floordiv__"),
    **_rules(_leaky, "relu relu6 hardtanh clamp clip clamp_min clamp_max"),
    **_rules(_softmax, "softmax"),
    **_rules(_squashed, "sigmoid tanh"),
    **_rules(_threshold(1), "ge gt greater greater_equal __ge__ __gt__"),
    **_rules(_threshold(-1), "le lt less less_equal __le__ __lt__"),
    **_rules(_as_number, "float double half bfloat16 to type type_as"),
    **_rules(_index, "argmax"),
    **_rules(_one_hot, "one_hot"),
    **_rules(_masked_product, "mul multiply __mul__ __rmul__"),
    **_rules(_choice, "where"),
    **_rules(_filled, "masked_fill"),
    "__setitem__": _assigned,
    "detach": lambda _, x: x,
    **_rules(lambda func, x, *args, **kwargs: func(x.detach(), *args, **kwargs), "numpy tolist __array__"),
}
"""What stands in for an operation, by its name; called with the operation and its arguments."""
SOFT_FORMS = {_as_number, _one_hot, _whole, _masked_product}
"""Those that know what to do with the soft form of whole numbers and masks."""


def of_soft_forms(func: Operation, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """An operation on whole numbers or masks, whose result has the soft form that the same makes of theirs, if any."""
    rule = STAND_INS.get(getattr(func, "__name__", ""))
    exact = rule(func, *args, **kwargs) if rule in SOFT_FORMS else func(*args, **kwargs)
    if not isinstance(exact, Tensor) or exact.requires_grad or hasattr(exact, "soft"):
        return exact
    softened = [getattr(value, "soft", value) for value in args]
    try:
        soft = rule(func, *softened, **kwargs) if rule else func(*softened, **kwargs)
    except (RuntimeError, TypeError, IndexError, ValueError):  # as of an index, which must be whole
        return exact
    if not needs_gradient(soft) or soft.shape != exact.shape:
        return exact
    if exact.is_floating_point():
        return with_gradient_of(exact, soft)
    exact.soft = soft  # type: ignore[attr-defined]
    return exact
