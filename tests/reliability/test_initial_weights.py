"""Initial weights from files of others: read for what they are, or refused in a line without their reader's advice."""

import math
import pickle
import warnings

import pytest
import torch

from atlpa.errors import UserError
from atlpa.models import ModelSpec, load_weights

NAME = "tests.exercises.outside.network:small"
WEIGHT = "0.weight"


@pytest.fixture
def model():
    return ModelSpec(architecture=NAME).build(3, seed=0)


def saved(content, folder):
    path = folder / "weights.pt"
    with warnings.catch_warnings(action="ignore"):
        torch.save(content, path)
    return str(path)


def quantized(value):
    with warnings.catch_warnings(action="ignore"):
        return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(torch.Tensor.to_sparse, "no state dict", id="sparse"),
        pytest.param(lambda value: value.to("meta"), "no state dict", id="meta"),
        pytest.param(quantized, "no state dict", id="quantized"),
        pytest.param(lambda _: [1.0], "no state dict", id="a list"),
        pytest.param(lambda value: value + 0j, "torch.complex64 instead of torch.float32", id="complex"),
        pytest.param(torch.Tensor.long, "torch.int64 instead of torch.float32", id="integers"),
        pytest.param(lambda value: value * math.nan, "0.weight is not finite", id="no numbers"),
        pytest.param(lambda value: value.double() + 1e300, "0.weight is not finite", id="beyond float32"),
        pytest.param(lambda _: torch.zeros(1).expand(50_000, 50_000), "instead of", id="ten gigabytes"),
        pytest.param(lambda value: torch.zeros(1).expand(value.shape), "a few numbers repeated", id="expanded"),
        pytest.param(lambda _: torch.tensor(1.0), "() instead of", id="no shape"),
        pytest.param(lambda _: torch.nn.Linear(1, 1), "tensors and plain values", id="code"),
    ],
)
def test_a_tensor_that_is_none_of_a_network_is_refused(model, tmp_path, change, words):
    state = model.backbone.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    path = saved({**state, WEIGHT: change(state[WEIGHT])}, tmp_path)
    with pytest.raises(UserError) as refusal:
        load_weights(model, path, NAME)
    assert words in str(refusal.value)
    assert "weights_only" not in str(refusal.value)
    assert all(torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_another_type_are_converted(model, tmp_path, kind):
    other = ModelSpec(architecture=NAME).build(3, seed=1).backbone.state_dict()
    given = {name: value.to(kind) if value.is_floating_point() else value for name, value in other.items()}
    assert load_weights(model, saved(given, tmp_path), NAME) == []
    assert torch.equal(model.backbone.state_dict()[WEIGHT], given[WEIGHT].float())


def test_torchs_older_files_without_a_zip_are_read(model, tmp_path):
    """As those of torchvision's first weights."""
    other = ModelSpec(architecture=NAME).build(3, seed=1).backbone.state_dict()
    torch.save(other, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert load_weights(model, str(tmp_path / "old.pth"), NAME) == []
    assert torch.equal(model.backbone.state_dict()[WEIGHT], other[WEIGHT])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            pickle.UnpicklingError("Load failed: set `weights_only` to `False` …"),
            "a damaged file in",
        ),
        (RuntimeError("PytorchStreamReader failed"), "PytorchStreamReader failed"),
        (EOFError("Ran out of input"), "Ran out of input"),
        (KeyError("hub"), "hub"),
    ],
)
def test_whatever_a_hub_raises_is_a_line(model, monkeypatch, error, words):
    class Published:
        def pretrained(self):
            raise error

    monkeypatch.setattr("atlpa.models.weights.NETWORKS", {NAME: Published()})
    with pytest.raises(UserError, match="weights=none") as refusal:
        load_weights(model, "imagenet", NAME)
    assert words in str(refusal.value)
    assert "weights_only" not in str(refusal.value)
