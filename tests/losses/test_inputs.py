"""What every loss asks of its tensors, and that none computes in half precision."""

import pytest
import torch
from torch import nn

from atlpa.losses import (
    ATLPALoss,
    attention_map,
    attention_map_loss,
    boosted_cross_entropy_loss,
    input_gradient_loss,
    kl_pairing_loss,
    logit_pairing_loss,
    tolerant_logit_loss,
    top_k_pairing_loss,
    weighted_kl_pairing_loss,
)

PAIRED = [kl_pairing_loss, logit_pairing_loss, top_k_pairing_loss]


def whole(clean, adversarial, reduction="mean"):
    """Eq. 2 of logits that also serve as maps."""
    maps = [[logits.view(-1, 2, 2, 2)] for logits in (clean, adversarial)]
    labels = torch.arange(len(clean)) % 8
    return torch.stack(list(ATLPALoss(0.5, 2.0, reduction=reduction)(clean, adversarial, labels, *maps).values())).sum(
        0
    )


def attention(clean, adversarial, reduction="mean"):
    return attention_map_loss([clean.view(-1, 2, 2, 2)], [adversarial.view(-1, 2, 2, 2)], reduction=reduction)


def tolerant(_clean, adversarial, reduction="mean"):
    return tolerant_logit_loss(adversarial, 4, [0.5, 0.4, 0.3], reduction)


def mart(clean, adversarial, reduction="mean"):
    labels = torch.arange(len(clean)) % 8
    boosted = boosted_cross_entropy_loss(adversarial, labels, reduction)
    return boosted + weighted_kl_pairing_loss(clean, adversarial, labels, reduction)


ALL = [*PAIRED, attention, tolerant, mart]


def pair(dtype=torch.float64, scale=3.0):
    draw = torch.Generator().manual_seed(0)
    return [(scale * torch.randn(6, 8, dtype=torch.float64, generator=draw)).to(dtype) for _ in "oa"]


@pytest.mark.parametrize("loss", PAIRED)
@pytest.mark.parametrize(
    ("clean", "adversarial"), [((4, 8), (1, 8)), ((1, 8), (4, 8)), ((4, 8), (4, 1)), ((4, 8), (8,)), ((4, 8), (3, 8))]
)
def test_logits_that_torch_would_broadcast_are_refused_by_both_shapes(loss, clean, adversarial):
    with pytest.raises(ValueError, match="must agree") as refused:
        loss(torch.zeros(clean), torch.zeros(adversarial))
    assert str(clean) in str(refused.value)
    assert str(adversarial) in str(refused.value)


@pytest.mark.parametrize("shape", [(8,), (2, 8, 3), ()])
@pytest.mark.parametrize("loss", [*PAIRED, tolerant])
def test_logits_are_one_row_an_image(loss, shape):
    with pytest.raises(ValueError, match=r"must be \(B, C\)"):
        loss(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize(("clean", "adversarial"), [((4, 3, 2, 2), (1, 3, 2, 2)), ((4, 3, 2, 2), (4, 3, 1, 2))])
def test_maps_that_torch_would_broadcast_are_refused_by_both_shapes(clean, adversarial):
    with pytest.raises(ValueError, match="must agree") as refused:
        attention_map_loss({"conv5_x": torch.ones(clean)}, {"conv5_x": torch.ones(adversarial)})
    for word in ("conv5_x", str(clean), str(adversarial)):
        assert word in str(refused.value)


def test_tokens_are_no_maps_and_the_remedy_gives_maps():
    tokens = torch.randn(2, 6, 5)
    for refused in (attention_map, lambda features: attention_map_loss([features], [features])):
        with pytest.raises(ValueError, match=r"\(2, 6, 5\).*tokens.transpose\(1, 2\).unflatten\(2, \(H, W\)\)"):
            refused(tokens)
    found = attention_map(tokens.transpose(1, 2).unflatten(2, (2, 3)))
    torch.testing.assert_close(found, tokens.square().sum(dim=2).view(2, 2, 3))


@pytest.mark.parametrize("p", [float("inf"), float("nan"), 0.5])
def test_an_exponent_that_makes_no_norm(p):
    features = torch.randn(2, 3, 4, 4)
    for refused in (attention_map, lambda features, p: attention_map_loss([features], [-2 * features], p)):
        with pytest.raises(ValueError, match="p >= 1, finite"):
            refused(features, p)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", [*ALL, whole])
def test_half_precision_is_computed_in_float32(loss, dtype):
    low = pair(dtype)
    found = loss(*low)
    assert found.dtype == torch.float32
    exact = loss(*(logits.double() for logits in low))
    assert exact.dtype == torch.float64
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("loss", [*ALL, whole])
def test_autocast_changes_nothing(loss):
    logits = pair(torch.float32)
    expected = loss(*logits, reduction="none")
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(*logits, reduction="none")
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_squares_of_half_precision_logits_do_not_overflow(dtype):
    clean, adversarial = torch.full((2, 8), 300, dtype=dtype), torch.full((2, 8), -300, dtype=dtype)
    assert logit_pairing_loss(clean, adversarial).item() == 600**2
    assert top_k_pairing_loss(clean, adversarial).item() == 600**2


@pytest.mark.parametrize("loss", [*ALL, whole])
def test_gradients_by_finite_differences(loss):
    assert torch.autograd.gradcheck(loss, [logits.requires_grad_() for logits in pair()])


def linear(dtype=torch.float32, factor=1.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    with torch.no_grad():
        model[1].weight *= factor
    return model.to(dtype), torch.rand(3, 3, 2, 2).to(dtype).requires_grad_(), torch.arange(3)


def test_input_gradients_under_autocast_and_in_half_precision():
    model, images, labels = linear(factor=50)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
        assert logits.dtype == torch.bfloat16
        found = input_gradient_loss(logits, images, labels, "none")
    assert found.dtype == torch.float32
    # By hand: the gradient of an image is (p − e_y) W, with p the softmax of those very logits.
    error = logits.detach().double().softmax(dim=1) - torch.eye(4)[:3]
    expected = (error @ model[1].weight.detach().double()).square().sum(dim=1)
    torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=1e-4)
    model, images, labels = linear(torch.float16, factor=3000)
    assert input_gradient_loss(model(images), images, labels, "none").isfinite().all()


def test_input_gradients_need_images_that_the_logits_came_from():
    model, images, labels = linear()
    with pytest.raises(ValueError, match=r"images require no gradient; call images\.requires_grad_\(\)"):
        input_gradient_loss(model(images), images.detach(), labels)
    other = images.detach().clone().requires_grad_()
    with pytest.raises(ValueError, match="logits do not depend on images"):
        input_gradient_loss(model(images), other, labels)
    with torch.no_grad():
        logits = model(images)
    with pytest.raises(ValueError, match="logits do not depend on images"):
        input_gradient_loss(logits, images, labels)
    with pytest.raises(ValueError, match=r"images \(3, 3, 2, 2\), logits \(2, 4\)"):
        input_gradient_loss(model(images)[:2], images, labels[:2])
    with pytest.raises(ValueError, match=r"labels \(2,\), logits \(3, 4\)"):
        input_gradient_loss(model(images), images, labels[:2])


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32])
def test_labels_may_be_integers_of_any_kind(kind):
    clean, adversarial = pair(torch.float32)
    labels, maps = torch.arange(6), [[logits.view(-1, 2, 2, 2)] for logits in (clean, adversarial)]
    for loss in (
        lambda given: sum(ATLPALoss(0.5, 2.0)(clean, adversarial, given, *maps).values()),
        lambda given: boosted_cross_entropy_loss(adversarial, given),
        lambda given: weighted_kl_pairing_loss(clean, adversarial, given),
        lambda given: input_gradient_loss((images := clean.clone().requires_grad_()) ** 2, images, given),
    ):
        assert torch.equal(loss(labels.to(kind)), loss(labels))
        for wrong in (labels.float(), labels > 2):
            with pytest.raises(ValueError, match="must be integers, one class per image"):
                loss(wrong)
