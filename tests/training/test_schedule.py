"""Schedules against torch's own, step by step, and what they refuse."""

import pytest
import torch
from torch.optim import SGD, lr_scheduler

from atlpa.experiment import load
from atlpa.training import Schedule

STEPS = 50


def of_torch(make):
    """The rates of torch's scheduler at a peak of 1."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


TORCH = {
    "constant": ({"shape": "constant"}, lambda o: lr_scheduler.ConstantLR(o, 1.0)),
    "step": ({"decay_at": (0.5, 0.8)}, lambda o: lr_scheduler.MultiStepLR(o, [25, 40])),
    "cosine": ({"shape": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
    "one cycle": (
        {"shape": "one_cycle"},
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=STEPS, cycle_momentum=False),
    ),
    "one cycle, early peak": (
        {"shape": "one_cycle", "warmup": 0.1},
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=STEPS, pct_start=0.1, cycle_momentum=False),
    ),
    "warm-up and cosine": (
        {"shape": "cosine", "warmup": 0.2},
        lambda o: lr_scheduler.SequentialLR(
            o,
            [lr_scheduler.LinearLR(o, 0.1, 1.0, 9), lr_scheduler.CosineAnnealingLR(o, 40)],
            [10],
        ),
    ),
}


@pytest.mark.parametrize("case", TORCH)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning", "ignore:.*lr_scheduler.step.*:UserWarning")
def test_equals_torchs_own(case):
    fields, make = TORCH[case]
    schedule = Schedule(**fields)
    assert [schedule.at(step, STEPS) for step in range(STEPS)] == pytest.approx(of_torch(make), rel=1e-6)


def test_a_run_of_one_step_has_its_peak():
    for shape in ("constant", "step", "cosine"):
        assert Schedule(shape=shape, warmup=0.5).at(0, 1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"warmup": 1.5}, "a warm-up of 1.5 is longer than the run"),
        ({"warmup": 500}, "a share of the iterations"),
        ({"shape": "cosine", "decay_at": (0.5,)}, "decay_at has no meaning for shape cosine"),
        ({"warmup": 0.5, "decay_at": (0.4,)}, "decay_at 0.4 is within the warm-up, which ends at 0.5"),
        ({"shape": "triangle"}, "'constant', 'step', 'cosine' or 'one_cycle'"),
    ],
)
def test_what_cannot_be_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        Schedule(**fields)


def test_a_shape_alone_will_do_and_what_was_written_before_still_says_the_same():
    changed = load("digits", [("training.schedule", "cosine")]).training
    assert changed.schedule == Schedule(shape="cosine")
    older = load("digits", [("training.decay_at", [0.5])]).training
    assert older.schedule == Schedule(shape="step", decay_at=(0.5,))
    assert load("digits", [("training.decay_at", [2 / 3])]).training.learning_rate_at(200) == pytest.approx(0.001)
    assert load("flowers", [("training.decay_at", [0.5])]).training.schedule == older.schedule
    for schedule in ("cosine", {"decay_at": [0.5]}):
        with pytest.raises(ValueError, match="decay_at and schedule are given"):
            load("digits", [("training.decay_at", [2 / 3]), ("training.schedule", schedule)])
