"""The networks against torchvision's own, their stages against a forward pass by hand."""

import pytest
import torch
import torchvision

from atlpa.models import RESNET_STAGES, ModelSpec, record_stages


@pytest.fixture
def model():
    return ModelSpec(architecture="resnet18", weights="none").build(17, seed=0).eval()


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_is_torchvisions_network_behind_a_normalization(architecture, pictures):
    model = ModelSpec(architecture=architecture).build(17, seed=0).eval()
    theirs = torchvision.models.get_model(architecture, weights=None, num_classes=17).eval()
    theirs.load_state_dict(model.backbone.state_dict(), strict=True)
    normalized = torchvision.transforms.functional.normalize(pictures, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(model(pictures), theirs(normalized))


def test_initialization_is_a_function_of_the_seed():
    spec = ModelSpec(architecture="resnet18", weights="none")
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second, other = (spec.build(17, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["backbone.fc.weight"], other["backbone.fc.weight"])


def test_stages_are_those_of_a_forward_pass_by_hand(model, pictures):
    with record_stages(model) as stages:
        logits = model(pictures)
    net, x = model.backbone, (pictures - model.mean) / model.std
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    for name, layer in RESNET_STAGES.items():
        x = getattr(net, layer)(x)
        assert torch.equal(stages[name], x), name
    assert torch.equal(net.fc(x.mean(dim=(2, 3))), logits)
    assert [tuple(stage.shape[1:]) for stage in stages.values()] == [
        (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)
    ]  # fmt: skip


def test_stages_are_part_of_the_graph(model, pictures):
    with record_stages(model) as stages:
        model(pictures)
    stages["conv5_x"].sum().backward()
    assert model.backbone.conv1.weight.grad.any()


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def fail_inside_the_with(model):
    with record_stages(model):
        assert hooks(model) == 4
        model(torch.rand(1, 2, 8, 8))


def test_hooks_never_outlive_the_with(model, pictures):
    with pytest.raises(RuntimeError):
        fail_inside_the_with(model)
    assert hooks(model) == 0
    with record_stages(model) as outer:
        with record_stages(model) as inner:
            model(pictures)
        assert torch.equal(outer["conv4_x"], inner["conv4_x"])
        assert hooks(model) == 4
    assert hooks(model) == 0


def test_stages_of_any_module(pictures):
    with record_stages(torchvision.models.resnet18(weights=None)) as stages:
        assert stages == {}
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())
    with record_stages(plain, {"first": "0"}) as stages:
        plain(pictures)
    assert stages["first"].shape == (2, 2, 62, 62)
    with pytest.raises(ValueError, match="declares no stages; pass layers="):
        fail_inside_the_with(plain)
