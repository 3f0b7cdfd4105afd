"""The losses of MART against hand-computed values, their bounds and limits."""

import math

import pytest
import torch
from torch.nn import functional as F

from atlpa.losses import boosted_cross_entropy_loss, kl_pairing_loss, weighted_kl_pairing_loss


def logits(*probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log()


def test_boosted_cross_entropy_by_hand():
    """Both where the true class ranks first and where it does not; ties count once."""
    given = logits([0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.2, 0.4, 0.4])
    found = boosted_cross_entropy_loss(given, torch.tensor([0, 2, 0]), "none")
    expected = [-math.log(y) - math.log(1.0001 - wrong) for y, wrong in ((0.5, 0.3), (0.2, 0.5), (0.2, 0.4))]
    assert found.tolist() == pytest.approx(expected)
    assert boosted_cross_entropy_loss(given, torch.tensor([0, 2, 0])).item() == pytest.approx(sum(expected) / 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_added_to_cross_entropy_lies_between_nothing_and_its_bound(dtype):
    """Nothing where the true class is certain; log 10⁴ where a wrong one is, in float32 too."""
    certain = torch.tensor([[60.0, 0.0, 0.0], [0.0, 60.0, 0.0]], dtype=dtype)
    labels = torch.tensor([0, 0])
    added = boosted_cross_entropy_loss(certain, labels, "none") - F.cross_entropy(certain, labels, reduction="none")
    assert added.tolist() == pytest.approx([0, math.log(1e4)], abs=2e-3)


def test_agreement_is_weighed_by_how_far_the_clean_image_is_from_recognized():
    clean, adversarial = logits([0.75, 0.25], [0.25, 0.75]), logits([0.5, 0.5], [0.5, 0.5])
    labels = torch.tensor([0, 0])
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    found = weighted_kl_pairing_loss(clean, adversarial, labels, "none")
    assert found.tolist() == pytest.approx([0.25 * divergence, 0.75 * divergence])
    # Summed over every label that an image might have, the weights are C − 1.
    draw = torch.Generator().manual_seed(0)
    clean, adversarial = (torch.randn(6, 5, generator=draw, dtype=torch.float64) for _ in "oa")
    over = sum(weighted_kl_pairing_loss(clean, adversarial, torch.full((6,), y), "none") for y in range(5))
    torch.testing.assert_close(over, 4 * kl_pairing_loss(clean, adversarial, "none"))


def test_the_weight_is_learned_from_too():
    """As in the authors' code: it is part of the graph, which a weight without a gradient would not leave as it is."""
    clean = logits([0.6, 0.4]).requires_grad_()
    weighted_kl_pairing_loss(clean, logits([0.5, 0.5]), torch.tensor([0])).backward()
    q = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)  # p = (q, 1 − q)
    (slope,) = torch.autograd.grad((q * (2 * q).log() + (1 - q) * (2 - 2 * q).log()) * (1 - q), q)
    assert clean.grad[0, 0].item() == pytest.approx((slope * 0.6 * 0.4).item())


def test_what_fits_no_batch_is_refused():
    with pytest.raises(ValueError, match=r"labels \(3,\), logits \(2, 4\)"):
        boosted_cross_entropy_loss(torch.zeros(2, 4), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"labels \(2, 4\), logits \(2, 4\)"):
        weighted_kl_pairing_loss(torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"clean logits \(2, 4\), adversarial \(1, 4\)"):
        weighted_kl_pairing_loss(torch.zeros(2, 4), torch.zeros(1, 4), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="there is no wrong one"):
        boosted_cross_entropy_loss(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64))
