"""The losses of the compared defenses against hand-computed values, independent computations and finite differences."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from atlpa.losses import input_gradient_loss, kl_pairing_loss, logit_pairing_loss, top_k_pairing_loss


def pair(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(5, 8, dtype=torch.float64, generator=draw, requires_grad=True) for _ in range(2)]


def test_kl_by_hand():
    clean, adversarial = torch.tensor([[math.log(3), 0.0]]), torch.tensor([[0.0, 0.0]])  # (3/4, 1/4) and (1/2, 1/2)
    assert kl_pairing_loss(clean, adversarial).item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert kl_pairing_loss(adversarial, clean).item() == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))


def test_kl_is_zero_with_zero_gradient_where_both_agree():
    clean, _ = pair()
    same = (clean.detach() + 3).requires_grad_(True)  # a constant changes no prediction
    loss = kl_pairing_loss(clean, same)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-15)
    assert same.grad.abs().max() < 1e-15


def test_top_k_by_hand():
    clean, adversarial = torch.tensor([[1.0, 5.0, 3.0]]), torch.tensor([[9.0, 4.0, 1.0]])
    assert top_k_pairing_loss(clean, adversarial, k=2).item() == (1 + 4) / 2
    assert top_k_pairing_loss(clean, adversarial, k=1).item() == 1


def test_all_classes_paired_is_logit_pairing():
    clean, adversarial = pair()
    assert torch.allclose(top_k_pairing_loss(clean, adversarial, k=8), logit_pairing_loss(clean, adversarial))
    with pytest.raises(ValueError, match="k=9 top classes of 8"):
        top_k_pairing_loss(clean, adversarial, k=9)


def test_top_k_pairs_five_classes_by_default_or_all_where_there_are_fewer():
    clean, adversarial = pair()
    assert torch.equal(top_k_pairing_loss(clean, adversarial), top_k_pairing_loss(clean, adversarial, k=5))
    few = clean[:, :3], adversarial[:, :3]
    torch.testing.assert_close(top_k_pairing_loss(*few), F.mse_loss(*few))


@pytest.mark.parametrize("loss", [kl_pairing_loss, top_k_pairing_loss])
def test_pairing_gradients_by_finite_differences(loss):
    assert torch.autograd.gradcheck(loss, pair())


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Softplus(), nn.Flatten(), nn.Linear(64, 5)).double()


def penalty(net, images, labels, reduction="none"):
    images = images.detach().requires_grad_(True)
    return input_gradient_loss(net(images), images, labels, reduction)


def test_input_gradient_against_the_jacobian(net):
    net.eval()
    images, labels = torch.rand(6, 3, 6, 6, dtype=torch.float64), torch.arange(6) % 5

    def loss(image, label):
        return F.cross_entropy(net(image[None]), label[None])

    jacobians = torch.func.vmap(torch.func.jacrev(loss))(images, labels)
    expected = jacobians.square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(penalty(net, images, labels), expected, rtol=1e-10, atol=0)
    assert penalty(net, images, labels, "mean").item() == pytest.approx(expected.mean().item())


@pytest.mark.parametrize("training", [True, False])
def test_input_gradient_is_unchanged_when_the_batch_is_doubled_by_copies(net, training):
    net.train(training)
    images, labels = torch.rand(6, 3, 6, 6, dtype=torch.float64), torch.arange(6) % 5
    once, twice = penalty(net, images, labels), penalty(net, images.repeat(2, 1, 1, 1), labels.repeat(2))
    torch.testing.assert_close(twice, once.repeat(2), rtol=1e-9, atol=0)


def test_input_gradient_is_differentiable(net):
    net.eval()
    images, labels = torch.rand(3, 3, 6, 6, dtype=torch.float64), torch.tensor([0, 1, 2])
    weight = net[0].weight.detach().clone().requires_grad_(True)

    def of_the_first_layer(weight):
        points = images.clone().requires_grad_(True)
        logits = torch.func.functional_call(net, {"0.weight": weight}, points)
        return input_gradient_loss(logits, points, labels)

    assert torch.autograd.gradcheck(of_the_first_layer, (weight,))
