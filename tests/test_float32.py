"""Settings of float32's precision: strict inside, and as they were afterwards, whatever they were."""

from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from torch import nn

from atlpa.attacks import PGD, AutoAttack, Square
from atlpa.data.images import InMemory
from atlpa.evaluation import accuracy, correct, credibility, transfer
from atlpa.evaluation.white_box import white_box
from atlpa.float32 import ieee_float32

BACKENDS = torch.backends
SETTINGS = {
    "all": BACKENDS,
    "cudnn": BACKENDS.cudnn,
    "cudnn.conv": BACKENDS.cudnn.conv,
    "cudnn.rnn": BACKENDS.cudnn.rnn,
    "cuda.matmul": BACKENDS.cuda.matmul,
    "mkldnn.conv": BACKENDS.mkldnn.conv,
    "mkldnn.rnn": BACKENDS.mkldnn.rnn,
    "mkldnn.matmul": BACKENDS.mkldnn.matmul,
}
OLDER = {
    "cudnn.allow_tf32": lambda: BACKENDS.cudnn.allow_tf32,
    "matmul.allow_tf32": lambda: BACKENDS.cuda.matmul.allow_tf32,
    "matmul precision": torch.get_float32_matmul_precision,
}


def says(question):
    try:
        return question()
    except RuntimeError:
        return "the two ways of setting it disagree"


def settings(*generals):
    """What every way of asking says, also if the most general setting were another: some follow it, some do not."""
    own = BACKENDS.fp32_precision
    seen = {}
    for general in (own, *generals):
        BACKENDS.fp32_precision = general
        for name, setting in SETTINGS.items():
            seen[general, name] = setting.fp32_precision
        for name, question in OLDER.items():
            seen[general, name] = says(question)
    BACKENDS.fp32_precision = own
    return seen


@pytest.fixture(autouse=True)
def _as_before():
    """Whatever a test sets ends with it."""
    older, found = torch.get_float32_matmul_precision(), [setting.fp32_precision for setting in SETTINGS.values()]
    allowed = BACKENDS.cudnn.allow_tf32
    yield
    BACKENDS.cudnn.allow_tf32 = allowed
    torch.set_float32_matmul_precision(older)
    for setting, precision in zip(SETTINGS.values(), found, strict=True):
        setting.fp32_precision = precision


def user(*changes):
    for name, value in changes:
        if name == "matmul precision":
            torch.set_float32_matmul_precision(value)
        elif name == "cudnn.allow_tf32":
            BACKENDS.cudnn.allow_tf32 = value
        elif name == "matmul.allow_tf32":
            BACKENDS.cuda.matmul.allow_tf32 = value
        else:
            SETTINGS[name].fp32_precision = value


ONE_WAY = (
    (),
    *((("all", value),) for value in ("tf32", "ieee", "bf16")),
    *(((name, value),) for name in ("cudnn", "cudnn.conv", "cuda.matmul") for value in ("tf32", "none")),
    (("all", "tf32"), ("cudnn.conv", "ieee"), ("mkldnn.matmul", "bf16")),
    *((("matmul precision", value),) for value in ("high", "medium")),
    *(((name, value),) for name in ("cudnn.allow_tf32", "matmul.allow_tf32") for value in (True, False)),
)
BOTH_WAYS = (
    (("matmul precision", "high"), ("cuda.matmul", "ieee")),
    (("cuda.matmul", "tf32"), ("cudnn.allow_tf32", False)),
    (("cudnn.allow_tf32", False), ("all", "tf32")),
    (("all", "tf32"), ("matmul precision", "medium"), ("mkldnn.matmul", "none")),
)


def strict(changes, *generals):
    user(*changes)
    before = settings(*generals)
    with suppress(ZeroDivisionError), ieee_float32():
        assert {name: setting.fp32_precision for name, setting in SETTINGS.items()} == dict.fromkeys(SETTINGS, "ieee")
        # torch's own compiler asks in the older way, and an answer that raises would end a model that it compiled.
        assert torch.get_float32_matmul_precision() == "highest"
        assert not BACKENDS.cuda.matmul.allow_tf32
        raise ZeroDivisionError
    assert settings(*generals) == before


@pytest.mark.parametrize("changes", ONE_WAY, ids=str)
def test_strict_inside_and_afterwards_as_found(changes):
    strict(changes, "none", "ieee", "tf32")


@pytest.mark.parametrize("changes", BOTH_WAYS, ids=str)
def test_also_where_the_older_way_of_setting_is_mixed_with_the_newer_one(changes):
    strict(changes)


def test_nested_and_as_a_decorator():
    @ieee_float32()
    def twice():
        with ieee_float32():
            pass
        return BACKENDS.cudnn.conv.fp32_precision

    before = settings()
    assert [twice(), twice()] == ["ieee", "ieee"]
    assert settings() == before


class Watched(nn.Module):
    """Remembers of each forward pass whether all settings were strict, and whether a gradient was wanted."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 5))
        self.seen = []

    def forward(self, images):
        strict = {setting.fp32_precision for setting in SETTINGS.values()} == {"ieee"}
        self.seen.append((strict, torch.is_grad_enabled()))
        return self.layers(images)


PICTURES, CLASSES = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 5
DATA = InMemory((255 * PICTURES).byte(), CLASSES)
GENTLE = PGD(epsilon=0.01, step=0.01, iterations=2, engine="reference")


@pytest.mark.parametrize(
    "judge",
    [
        lambda model: correct(model, DATA),
        lambda model: accuracy(model, DATA, GENTLE),
        lambda model: white_box(model, DATA, GENTLE, (1, 2)),
        lambda model: transfer(model, {"itself": model}, DATA, GENTLE, (1, 2)),
        lambda model: credibility(model, PICTURES[:3], CLASSES[:3], 0.9),
        lambda model: Square(iterations=3)(model, PICTURES, CLASSES),
        lambda model: AutoAttack(epsilon=0.9)(model, PICTURES[:3], CLASSES[:3]),
    ],
    ids=["verdicts", "attacked", "white-box", "transfer", "credibility", "square", "autoattack"],
)
def test_every_pass_of_an_evaluation_is_strict(judge):
    model, before = Watched(), settings()
    judge(model)
    assert model.seen
    assert all(strict for strict, _ in model.seen)
    assert settings() == before


def test_restarts_are_judged_strictly_and_gradients_outside_of_evaluation_follow_the_user():
    model, before = Watched(), settings()
    replace(GENTLE, start="uniform", restarts=2)(model, PICTURES, CLASSES)
    assert model.seen == [(False, True), (False, True), (True, False)] * 2
    assert settings() == before


@pytest.mark.parametrize(
    "judge", [lambda model: correct(model, DATA), lambda model: white_box(model, DATA, GENTLE, (2,))]
)
def test_a_model_that_fails_leaves_the_settings_as_they_were(judge):
    class Failing(Watched):
        def forward(self, images):
            return self.layers(images) / (1 // 0)

    before = settings()
    with pytest.raises(ZeroDivisionError):
        judge(Failing())
    assert settings() == before
