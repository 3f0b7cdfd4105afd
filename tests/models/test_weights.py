"""Weights from files: torchvision's, ours, ones that do not fit, and ones that are no weights."""

import pytest
import torch
import torchvision

from atlpa.errors import UserError
from atlpa.models import ModelSpec, load_weights


@pytest.fixture
def model():
    return ModelSpec(architecture="resnet18", weights="none").build(17, seed=0)


def save(content, folder):
    path = folder / "weights.pt"
    torch.save(content, path)
    return str(path)


def test_torchvision_state_dict(model, tmp_path):
    theirs = torchvision.models.resnet18(weights=None, num_classes=17)
    assert load_weights(model, save(theirs.state_dict(), tmp_path), "resnet18") == []
    assert all(torch.equal(value, model.backbone.state_dict()[name]) for name, value in theirs.state_dict().items())


def test_a_head_of_another_size_is_replaced_and_said(model, tmp_path):
    theirs = torchvision.models.resnet18(weights=None)  # 1000 classes
    head = model.backbone.fc.weight.clone()
    notes = load_weights(model, save(theirs.state_dict(), tmp_path), "resnet18")
    assert len(notes) == 1
    assert "head of 1000 classes was replaced by a new one of 17" in notes[0]
    assert torch.equal(model.backbone.fc.weight, head)
    assert torch.equal(model.backbone.conv1.weight, theirs.conv1.weight)


def test_a_checkpoint_of_ours(model, tiny_run):
    run = tiny_run()
    (note,) = load_weights(model, str(run.checkpoint_path), "resnet18")
    assert "10 classes" in note
    trained = run.load_model(torch.device("cpu"))
    assert torch.equal(model.backbone.layer4[1].conv2.weight, trained.backbone.layer4[1].conv2.weight)


def test_denoising_blocks_go_to_the_same_blocks_alone(model, tmp_path):
    spec = ModelSpec(architecture="resnet18", weights="none")
    theirs, ours = (spec.build(17, seed=seed, denoise="softmax") for seed in (1, 0))
    torch.nn.init.normal_(theirs.denoise["conv3_x"].norm.weight)
    path = save({"model": theirs.state_dict()}, tmp_path)
    assert load_weights(ours, path, "resnet18") == []
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in theirs.state_dict().items())
    for other in (model, spec.build(17, seed=0, denoise="mean")):
        words = r"denoising blocks that do not fit \(unknown denoise\..*same defense.denoise"
        with pytest.raises(UserError, match=words):
            load_weights(other, path, "resnet18")


@pytest.mark.parametrize(("under", "prefix"), [("model", "module.model."), ("state_dict", "module."), (None, "net.")])
def test_checkpoints_of_others_are_found_behind_their_prefix(model, tmp_path, under, prefix):
    """As robustness libraries write them: a prefix, a normalizer, and an attacker's copy of the network beside it."""
    theirs = torchvision.models.resnet18(weights=None, num_classes=17).state_dict()
    state = {prefix + name: value for name, value in theirs.items()}
    state |= {f"attacker.{prefix}{name}": value + 1 for name, value in theirs.items()}
    state["normalizer.mean"] = torch.zeros(3)
    assert load_weights(model, save({under: state, "epoch": 3} if under else state, tmp_path), "resnet18") == []
    assert all(torch.equal(value, theirs[name]) for name, value in model.backbone.state_dict().items())


def test_another_architecture_is_refused_by_name(model, tmp_path):
    path = save(torchvision.models.resnet34(weights=None, num_classes=17).state_dict(), tmp_path)
    with pytest.raises(UserError, match=r"does not fit resnet18: unknown layer1\.2\.conv1\.weight.* more"):
        load_weights(model, path, "resnet18")


def test_missing_names_are_refused_by_name(model, tmp_path):
    state = model.backbone.state_dict()
    del state["bn1.bias"]
    with pytest.raises(UserError, match=r"missing bn1\.bias"):
        load_weights(model, save(state, tmp_path), "resnet18")


def test_old_files_without_batch_norms_counters(model, tmp_path):
    """torchvision's first weights were saved before BatchNorm counted its batches."""
    theirs = torchvision.models.resnet18(weights=None, num_classes=17)
    old = {name: value for name, value in theirs.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert load_weights(model, save(old, tmp_path), "resnet18") == []
    assert torch.equal(model.backbone.layer3[0].bn1.weight, theirs.layer3[0].bn1.weight)


@pytest.mark.parametrize(
    "damage", [{"fc.bias": torch.tensor(1.0)}, {"fc.weight": torch.zeros(17, 3)}, {"extra": torch.zeros(1)}]
)
def test_a_damaged_state_is_refused_by_name(model, tmp_path, damage):
    with pytest.raises(UserError, match=f"does not fit resnet18: .*{next(iter(damage))}"):
        load_weights(model, save({**model.backbone.state_dict(), **damage}, tmp_path), "resnet18")


def test_no_such_file(model):
    with pytest.raises(UserError, match=r"no file 'nowhere\.pt'; allowed: imagenet, none, a run's folder, or a file"):
        load_weights(model, "nowhere.pt", "resnet18")


def test_not_weights(model, tmp_path):
    page = tmp_path / "page.pt"
    page.write_text("<html>not found</html>")
    with pytest.raises(UserError, match="holds no weights torch can load safely"):
        load_weights(model, str(page), "resnet18")
    with pytest.raises(UserError, match="no state dict"):
        load_weights(model, save([1, 2], tmp_path), "resnet18")
    with pytest.raises(UserError, match="holds no weights torch can load safely"):
        load_weights(model, save(model, tmp_path), "resnet18")  # a whole pickled module could run code
