"""Denoising blocks against direct loops, and a network that does not change until it learns to."""

import pytest
import torch

from atlpa.models import DenoisingBlock, ModelSpec, record_stages

OPERATIONS = ("softmax", "dot_product", "mean")


@pytest.fixture
def features():
    return torch.randn(2, 6, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def block_of(operation):
    torch.manual_seed(1)
    block = DenoisingBlock(6, operation).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    return block.eval()


@pytest.mark.parametrize("operation", ["softmax", "dot_product"])
def test_non_local_means_by_a_loop_over_all_pairs_of_places(features, operation):
    block = block_of(operation)
    places = [(y, x) for y in range(4) for x in range(5)]
    for image, denoised in zip(features, block.denoise(features), strict=True):
        theta = torch.einsum("oc,chw->ohw", block.theta.weight[..., 0, 0], image)
        phi = torch.einsum("oc,chw->ohw", block.phi.weight[..., 0, 0], image)
        for y, x in places:
            likeness = torch.stack([theta[:, y, x] @ phi[:, v, u] for v, u in places])
            weights = (likeness / 3**0.5).softmax(0) if operation == "softmax" else likeness / len(places)
            mean = sum(weight * image[:, v, u] for weight, (v, u) in zip(weights, places, strict=True))
            torch.testing.assert_close(denoised[:, y, x], mean, rtol=1e-9, atol=1e-9)


def test_local_mean_by_a_loop(features):
    denoised = block_of("mean").denoise(features)
    for y in range(4):
        for x in range(5):
            window = features[:, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            torch.testing.assert_close(denoised[:, :, y, x], window.mean(dim=(2, 3)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_block_adds_its_convolution_to_its_input(features, operation):
    """By sums over channels, with the running statistics that a new BatchNorm has: mean 0, variance 1."""
    block = block_of(operation)
    mixed = torch.einsum("oc,bchw->bohw", block.conv.weight[..., 0, 0], block.denoise(features))
    normalized = mixed / (1 + block.norm.eps) ** 0.5
    scale, shift = (values[:, None, None] for values in (block.norm.weight, block.norm.bias))
    torch.testing.assert_close(block(features), features + scale * normalized + shift, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_a_network_is_unchanged_at_initialization(operation, architecture):
    spec = ModelSpec(architecture=architecture, weights="none")
    plain, denoising = spec.build(17, seed=0), spec.build(17, seed=0, denoise=operation)
    pictures = torch.rand(4, 3, 64, 64)
    for training in (True, False):
        assert torch.equal(plain.train(training)(pictures), denoising.train(training)(pictures))
    assert all(torch.equal(value, denoising.state_dict()[name]) for name, value in plain.state_dict().items())


def test_stages_are_recorded_denoised():
    model = ModelSpec(architecture="resnet18", weights="none").build(17, seed=0, denoise="mean").eval()
    torch.nn.init.ones_(model.denoise["conv5_x"].norm.weight)
    with record_stages(model) as stages:
        logits = model(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(model.backbone.fc(stages["conv5_x"].mean(dim=(2, 3))), logits)


def test_no_matrix_over_all_pairs_of_places_is_kept_at_56x56():
    """At batch 16 such matrices would take 16 · 3136² · 4 bytes = 629 MB each."""
    block = DenoisingBlock(64, "softmax")
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        block(torch.rand(1, 64, 56, 56, requires_grad=True))
    assert max(kept) < 3136**2 / 10


def test_softmax_attention_can_be_differentiated_twice_in_training(tmp_path):
    from atlpa.experiment import load
    from atlpa.runs import train_run

    changes = {"defense": "igr", "defense.denoise": "softmax", "training.iterations": 2, "training.batch_size": 4,
               "output": str(tmp_path / "run")}  # fmt: skip
    assert train_run(load("digits", list(changes.items())), say=lambda _: None).finished
