"""The attack's losses by hand, by what they must not depend on, and by what they are for."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import OBJECTIVES, PGD

LOGITS = torch.tensor([[3.0, 1.0, 0.5, -1.0], [0.0, 2.0, 5.0, 1.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 1])


def test_by_hand():
    assert OBJECTIVES["margin"](LOGITS, LABELS).tolist() == [-2.0, 3.0]
    assert OBJECTIVES["dlr"](LOGITS, LABELS).tolist() == pytest.approx([-2 / 2.5, 3 / 4])
    probabilities = LOGITS.softmax(dim=1)[torch.arange(2), LABELS]
    assert torch.allclose(OBJECTIVES["cross_entropy"](LOGITS, LABELS), -probabilities.log())


def test_margin_is_positive_exactly_where_the_prediction_is_wrong():
    torch.manual_seed(0)
    logits, labels = torch.randn(500, 10), torch.randint(10, (500,))
    wrong = logits.argmax(dim=1) != labels
    for name in ("margin", "dlr"):
        assert torch.equal(OBJECTIVES[name](logits, labels) > 0, wrong)


def test_dlr_knows_neither_shift_nor_scale():
    torch.testing.assert_close(OBJECTIVES["dlr"](7 * LOGITS + 3, LABELS), OBJECTIVES["dlr"](LOGITS, LABELS))


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_gradients_by_finite_differences(name):
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: OBJECTIVES[name](z, LABELS), logits)


@pytest.mark.parametrize("name", ["margin", "dlr"])
def test_climbs_where_cross_entropy_has_saturated(name):
    """Huge logits: the gradient of the cross-entropy underflows to zero in float32, that of the margin does not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    images = torch.rand(40, 3, 4, 4)
    labels = model(images).argmax(dim=1)

    def saturated(x):
        return 1e5 * model(x)

    def standing(loss):
        adversarial = PGD(epsilon=0.5, step=0.1, iterations=10, loss=loss)(saturated, images, labels)
        return (model(adversarial).argmax(dim=1) == labels).float().mean().item()

    assert standing("cross_entropy") == 1
    assert standing(name) < 0.2


def test_equals_plain_ascent_on_the_margin(small_cnn, images, labels):
    small_cnn.eval()
    point = images.clone()
    for _ in range(3):
        point.requires_grad_(True)
        logits = small_cnn(point)
        others = logits - 1e9 * F.one_hot(labels, 5)
        (gradient,) = torch.autograd.grad((others.max(dim=1).values - logits[range(12), labels]).sum(), point)
        point = (point.detach() + 0.02 * gradient.sign()).clamp(images - 0.05, images + 0.05).clamp(0, 1)
    assert torch.equal(PGD(epsilon=0.05, step=0.02, iterations=3, loss="margin")(small_cnn, images, labels), point)
