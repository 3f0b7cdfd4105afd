"""AutoAttack through its package: as strong as it should be, and leaving everything as found."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import PGD, AutoAttack
from atlpa.model_state import eval_mode

EPSILON = 0.03


@pytest.fixture
def trained():
    """A small float32 network in training mode that tells four colors apart, and images that it gets right."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4)
    )
    labels = torch.arange(40) % 4
    images = 0.4 + 0.2 * torch.rand(40, 3, 8, 8)
    images[labels < 3, labels[labels < 3]] += torch.linspace(0, 0.15, 40)[labels < 3][:, None, None]
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(80):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    with eval_mode(model), torch.no_grad():
        right = model(images).argmax(dim=1) == labels
    return model, images[right][::3], labels[right][::3]


def standing(model, images, labels):
    with eval_mode(model), torch.no_grad():
        return model(images).argmax(dim=1) == labels


def test_leaves_no_image_that_pgd_fells_and_everything_else_as_found(trained):
    model, images, labels = trained
    state = {name: value.clone() for name, value in model.state_dict().items()}
    numbers = torch.get_rng_state()
    draw = [torch.Generator().manual_seed(5)] * len(images)
    adversarial = AutoAttack(epsilon=EPSILON)(model, images, labels, generator=draw)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert (adversarial - images).abs().max() <= EPSILON + 1e-6
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    ours = standing(model, PGD(epsilon=EPSILON, step=EPSILON / 10, iterations=40)(model, images, labels), labels)
    theirs = standing(model, adversarial, labels)
    assert not (theirs & ~ours).any()
    assert 0 < theirs.sum() < len(images)
    assert torch.equal(AutoAttack(epsilon=EPSILON)(model, images, labels, generator=draw), adversarial)


def test_any_callable_will_do_and_too_few_classes_are_said(trained):
    model, images, labels = trained
    model.eval()
    adversarial = AutoAttack(epsilon=0.3)(model.forward, images[:3], labels[:3])
    assert not standing(model, adversarial, labels[:3]).any()
    with pytest.raises(ValueError, match="3 classes; AutoAttack needs at least 4"):
        AutoAttack()(lambda x: model(x)[:, :3], images[:3], labels[:3] % 3)
