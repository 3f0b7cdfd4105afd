"""Adversarial logit pairing against hand-computed values and finite differences."""

import pytest
import torch

from atlpa.losses import logit_pairing_loss


def test_hand_computed():
    clean, adversarial = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[3.0, 2.0], [1.0, -1.0]])
    assert logit_pairing_loss(clean, adversarial, reduction="none").tolist() == [2.0, 1.0]
    assert logit_pairing_loss(clean, adversarial).item() == 1.5


def test_gradient_flows_into_both_branches():
    torch.manual_seed(0)
    pair = [torch.randn(4, 7, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(logit_pairing_loss, pair)
    equal = pair[0].detach().clone().requires_grad_(True)
    logit_pairing_loss(pair[0], equal).backward()
    assert not equal.grad.any()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\), adversarial \(2, 4\)"):
        logit_pairing_loss(torch.zeros(2, 3), torch.zeros(2, 4))
