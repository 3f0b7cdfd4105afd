"""Giving up, against attacks whose course is known beforehand."""

from dataclasses import dataclass

import pytest
import torch

from atlpa.attacks import APGD, FAB, Square
from atlpa.attacks.patience import Patient
from atlpa.attacks.rows import State


@dataclass(frozen=True)
class Course(State):
    """How many steps each image has had, and its own pace."""

    age: torch.Tensor
    pace: torch.Tensor


# ruff: noqa: ARG002
@dataclass(frozen=True)
class Scripted:
    """Comes closer by a share of the way for each doubling of its steps, and fools where it has arrived."""

    iterations: int = 128
    exact: bool = True
    title: str = "scripted"
    rate: float = 1.0

    def prepare(self, model, images):
        return model

    def begin(self, model, images, labels, generator=None):
        return Course(images, torch.zeros_like(labels), images[:, 0, 0, 0])

    def gap(self, state):
        looked_at = (state.age - 1).clamp(min=1).float()
        return 1 - state.pace * (looked_at.log2() / 7) ** self.rate

    def advance(self, model, state, images, labels, generator=None):
        following = Course(state.adversarial, state.age + 1, state.pace)
        return following, self.gap(following) <= 0


def carried_out(stage, paces):
    """When each image fell or was given up (0: never), by the plain loop."""
    images, labels = paces[:, None, None, None].expand(-1, 3, 1, 1), torch.zeros(len(paces), dtype=torch.int64)
    state, fell, left = stage.begin(None, images, labels), torch.zeros_like(labels), torch.zeros_like(labels)
    for age in range(stage.iterations + 1):
        state, fooled = stage.advance(None, state, images, labels)
        fell[fooled & (fell == 0) & (left == 0)] = max(age, 1)
        if state.given_up is not None:
            left[state.given_up & ~fooled & (fell == 0) & (left == 0)] = age
    return fell, left


PACES = torch.linspace(0, 3, 301)


@pytest.mark.parametrize("rate", [0.3, 0.7, 1.0])
def test_who_gains_ever_less_and_would_fall_is_not_given_up(rate):
    """At the pace of the last doubling or slower: whoever falls without a look falls with one."""
    fell, _ = carried_out(Scripted(rate=rate), PACES)
    patiently, left = carried_out(Patient(Scripted(rate=rate), patience=1.0001), PACES)
    assert torch.equal(fell, patiently)
    assert (left[fell == 0] > 0).any()


def test_the_patience_is_how_much_faster_it_may_become():
    """Gains that grow like the square of the doublings, 7² in all: 2·4 − 1 at the look after 16 of 128 steps."""
    fell, _ = carried_out(Scripted(rate=2.0), PACES)
    for patience, all_fall in ((1.0, False), (3.0, True)):
        patiently, _ = carried_out(Patient(Scripted(rate=2.0), first=1 / 8, patience=patience), PACES)
        assert torch.equal(fell, patiently) == all_fall


def test_who_stands_still_is_given_up_at_the_first_look_and_nobody_with_endless_patience():
    _, left = carried_out(Patient(Scripted()), torch.zeros(3))
    assert left.tolist() == [32] * 3
    _, left = carried_out(Patient(Scripted(), first=1 / 16), torch.zeros(3))
    assert left.tolist() == [8] * 3
    _, left = carried_out(Patient(Scripted(), patience=float("inf")), PACES[1:])
    assert not left.any()


@pytest.mark.parametrize(
    "attack", [APGD(0.1, 40, loss="dlr", target=1), FAB(0.1, 40), Square(0.1, 200)], ids=lambda attack: attack.name
)
def test_a_gap_is_nothing_where_the_attack_has_fooled(attack, small_cnn, images):
    """And never grows; real attacks on a real network."""
    model = small_cnn.eval()
    labels = model(images).argmax(dim=1)
    state = attack.begin(model, images, labels)
    gaps, fell = [], torch.zeros(12, dtype=torch.bool)
    for _ in range(attack.iterations):
        state, fooled = attack.advance(model, state, images, labels)
        gaps.append(attack.gap(state))
        fell |= fooled
    assert (torch.stack(gaps).diff(dim=0) <= 0).all()
    assert fell.any()
    if not isinstance(attack, APGD):  # which may be fooled by another class than the one it is driven to
        assert torch.equal(gaps[-1] <= 0, fell)
    else:
        assert (fell >= (gaps[-1] <= 0)).all()
