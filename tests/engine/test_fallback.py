"""An attack never dies of its own speed-up: missing operators, kernels that raise, processors without bfloat16."""

import logging

import pytest
import torch

from atlpa.attacks import PGD
from atlpa.engine import Frozen, operators, prepare
from atlpa.engine.fallback import warn_once
from tests.engine.test_prepare import LABELS, MANY, answer, defended, pictures, same_answer

OPERATORS = (
    "_convolution_pointwise",
    "_convolution_pointwise_",
    "_reorder_convolution_weight",
    "_linear_pointwise",
    "_reorder_linear_weight",
)


@pytest.fixture(autouse=True)
def _nothing_was_said_yet():
    warn_once.cache_clear()


@pytest.fixture
def lacking(monkeypatch):
    """Replace the look-up of operators by one that gives only some calls of one operator what they ask for."""
    found = operators.onednn

    def without(name, calls):
        left = calls

        def onednn(asked):
            nonlocal left
            if asked != name:
                return found(asked)
            left -= 1
            if left < 0:
                raise operators.Missing(f"no {name}")
            return found(asked)

        for module in ("kernels", "special"):
            monkeypatch.setattr(f"atlpa.engine.{module}.onednn", onednn)

    return without


@pytest.mark.parametrize("calls", [0, 5, 25])
@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_that_is_missing_or_raises(name, calls, lacking, caplog):
    """From its first call, or in the middle of an attack, forwards or backwards."""
    model, images = defended("none"), pictures(6, 64)
    expected = answer(model, images, LABELS)
    lacking(name, calls)
    network = prepare(model, images, "auto", "fp32", MANY)
    assert isinstance(network, Frozen)
    with caplog.at_level(logging.WARNING, logger="atlpa.engine"):
        for _ in range(3):
            assert same_answer(answer(network, images, LABELS), expected)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said))
    assert calls or any(f"no {name}" in line for line in said)


def test_a_copy_that_raises_gives_way_to_the_model(caplog, monkeypatch):
    model, images = defended("rat").eval(), pictures()
    expected = answer(model, images, LABELS)
    network = prepare(model.train(), images, "auto", "fp32", MANY)

    def raises(_):
        raise RuntimeError("a shape that the copy does not know")

    monkeypatch.setattr(network.network, "forward", raises)
    with caplog.at_level(logging.WARNING, logger="atlpa.engine"):
        found = answer(network, images, LABELS)
        assert same_answer(answer(network, images, LABELS), found)
    assert same_answer(found, expected)
    assert [r.getMessage() for r in caplog.records] == [
        "the copy of a Classifier gives way to torch's own: a shape that the copy does not know"
    ]
    assert all(module.training for module in model.modules())


def test_what_the_model_itself_raises_is_its_callers():
    def too_large(images):
        raise RuntimeError("a mistake of the model")

    with pytest.raises(RuntimeError, match="a mistake of the model"):
        PGD(epsilon=0.1, step=0.1, iterations=MANY)(too_large, pictures(), LABELS)


@pytest.mark.parametrize(
    ("taken", "capabilities", "fast"),
    [
        (True, {"avx512_f": True, "avx512_bf16": True}, True),
        (True, {"avx512_f": True, "amx_bf16": True}, True),
        (True, {"avx512_f": True}, False),  # oneDNN emulates it there, slower than float32
        (True, {"avx_ne_convert": True}, True),
        (True, {"bf16": True}, True),  # ARM
        (False, {"avx2": True}, False),
    ],
)
def test_what_a_processor_can(taken, capabilities, fast, monkeypatch):
    monkeypatch.setattr(operators, "onednn", lambda _: lambda: taken)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert operators.bfloat16_is_fast(torch.device("cpu")) is fast


def test_half_precision_where_there_is_none_is_float32_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr("atlpa.engine.precision.bfloat16_is_fast", lambda _: False)
    model, images = defended("none"), pictures()
    full, half = (PGD(epsilon=0.05, step=0.01, iterations=20, precision=precision) for precision in ("fp32", "bf16"))
    with caplog.at_level(logging.WARNING, logger="atlpa.engine"):
        assert torch.equal(half(model, images, LABELS), full(model, images, LABELS))
        half(model, images, LABELS)
    assert sum("no instructions for bfloat16" in record.getMessage() for record in caplog.records) == 1
