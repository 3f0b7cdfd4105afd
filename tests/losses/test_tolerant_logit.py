"""Eq. 3 against hand-computed values, exact identities and finite differences."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from atlpa.losses import tolerant_logit_loss

LOGITS = torch.tensor([[4.0, 1.0, 3.0, 2.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 6.0]], dtype=torch.float64)
K = 5


def test_hand_computed():
    # Image 1: 4 − (3 + 2 + 1 + 0)/4 = 2.5; image 2: 6 − 0 = 6.
    per_image = tolerant_logit_loss(LOGITS, reduction="none")
    assert per_image.tolist() == [2.5, 6.0]
    assert tolerant_logit_loss(LOGITS).item() == 4.25
    assert tolerant_logit_loss(LOGITS, reduction="sum").item() == 8.5


def test_weights_by_rank():
    # 4 − (0.5·3 + 0.25·2) = 2; 6 − 0 = 6.
    assert tolerant_logit_loss(LOGITS, k=3, weights=[0.5, 0.25], reduction="none").tolist() == [2.0, 6.0]


def test_weights_say_how_many_ranks_there_are():
    assert tolerant_logit_loss(LOGITS, weights=[0.5, 0.25], reduction="none").tolist() == [2.0, 6.0]


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_the_default_takes_every_class_where_there_are_fewer_than_five(classes):
    """Then Eq. 3 is the top logit minus the mean of all the others."""
    logits = LOGITS[:, :classes]
    top = logits.amax(dim=1)
    expected = top - (logits.sum(dim=1) - top) / (classes - 1)
    torch.testing.assert_close(tolerant_logit_loss(logits, reduction="none"), expected)
    with pytest.raises(ValueError, match=f"k=5 top classes of {classes}; k must lie in 2 … {classes}, or be left out"):
        tolerant_logit_loss(logits, k=5)


def test_one_class_has_nothing_to_tolerate():
    with pytest.raises(ValueError, match="at least 2"):
        tolerant_logit_loss(LOGITS[:, :1])


def test_hinge_binds_for_heavy_weights():
    logits = LOGITS.clone().requires_grad_(True)
    per_image = tolerant_logit_loss(logits, k=2, weights=[2.0], reduction="none")  # 4 − 6 < 0
    assert per_image.tolist() == [0.0, 6.0]
    per_image.sum().backward()
    assert logits.grad[0].tolist() == [0.0] * 6


@given(st.lists(st.floats(-50, 50), min_size=K, max_size=12), st.floats(-100, 100))
def test_default_weights_never_bind_and_ignore_a_constant(logits, constant):
    row = torch.tensor([logits], dtype=torch.float64)
    top, *followers = sorted(logits, reverse=True)[:K]
    unclamped = top - sum(followers) / (K - 1)
    assert unclamped >= -1e-12
    assert tolerant_logit_loss(row).item() == pytest.approx(unclamped, abs=1e-9)
    assert tolerant_logit_loss(row + constant).item() == pytest.approx(unclamped, abs=1e-9)


@pytest.mark.parametrize("true_class_on_top", [True, False])
def test_is_top_k_label_smoothing(true_class_on_top):
    """CE + α·L_TL is cross-entropy against a target with −α on the top class and α/(K−1) on ranks 2 … K."""
    torch.manual_seed(0)
    logits, alpha = torch.randn(64, 17, dtype=torch.float64), 0.3
    ranks = logits.argsort(dim=1, descending=True)
    labels = ranks[:, 0] if true_class_on_top else ranks[:, 7]
    target = F.one_hot(labels, 17).double()
    target.scatter_add_(1, ranks[:, :1], torch.full((64, 1), -alpha, dtype=torch.float64))
    target.scatter_add_(1, ranks[:, 1:K], torch.full((64, K - 1), alpha / (K - 1), dtype=torch.float64))
    expected = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    actual = F.cross_entropy(logits, labels) + alpha * tolerant_logit_loss(logits)
    assert math.isclose(actual.item(), expected.item(), rel_tol=1e-14)


def test_gradient_by_finite_differences():
    torch.manual_seed(0)
    logits = torch.randn(6, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tolerant_logit_loss, (logits,))
    assert torch.autograd.gradcheck(lambda z: tolerant_logit_loss(z, 3, [0.9, 0.4], "none"), (logits,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 7}, "k=7 top classes of 6"),
        ({"k": 1}, "k must lie in 2"),
        ({"k": 3, "weights": [1.0]}, "needs 2 non-negative weights"),
        ({"k": 2, "weights": [-1.0]}, "non-negative"),
        ({"weights": [float("nan")]}, "non-negative"),
        ({"weights": [0.2] * 6}, "k=7 top classes of 6"),
        ({"weights": []}, "k must lie in 2"),
        ({"k": torch.tensor([1, 0])}, "k is a Tensor; it is the number of top classes .the loss asks for no labels."),
        ({"reduction": "max"}, "unknown reduction 'max'"),
    ],
)
def test_senseless_options(options, message):
    with pytest.raises(ValueError, match=message):
        tolerant_logit_loss(LOGITS, **options)
