"""What survives a crash: checkpoints whole or not at all, logs without half lines."""

import json

import pytest
import torch

from atlpa.errors import UserError
from atlpa.models import ModelSpec
from atlpa.training import Checkpoint, Recipe, TrainingLog, load_checkpoint, optimizer_state, save_checkpoint


@pytest.fixture
def model():
    return ModelSpec(architecture="resnet18", weights="none").build(5, seed=0)


def checkpoint_of(model, step=3, defense=None):
    optimizer = Recipe().make_optimizer(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.param_groups[0]["lr"] = 0.0  # a step that leaves the weights
    optimizer.step()
    return Checkpoint(
        step,
        tuple("abcde"),
        "digest",
        {"seed": 0, "defense": defense or {}},
        model.state_dict(),
        optimizer_state(optimizer),
    )


def test_round_trip(model, tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(checkpoint_of(model), path)
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]
    back = load_checkpoint(path)
    assert (back.step, back.classes, back.experiment) == (3, tuple("abcde"), {"seed": 0, "defense": {}})
    other = ModelSpec(architecture="resnet18", weights="none").build(5, seed=1)
    assert checkpoint_of(other).weights_hash != back.weights_hash
    back.resume(other, Recipe().make_optimizer(other))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    assert checkpoint_of(other).weights_hash == back.weights_hash


def test_what_a_network_draws_is_part_of_its_digest(model):
    defenses = [
        {},
        {"noise": {"scale": 0.25}},
        {"noise": {"scale": 0.2}},
        {"randomize": {"ratio": 1.1}},
    ]
    assert len({checkpoint_of(model, defense=defense).weights_hash for defense in defenses}) == 4
    assert checkpoint_of(model, defense={"noise": None}).weights_hash == checkpoint_of(model).weights_hash


def test_a_failed_write_leaves_the_old_checkpoint(model, tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    save_checkpoint(checkpoint_of(model, step=1), path)

    def disk_full(_content, file):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(checkpoint_of(model, step=2), path)
    assert load_checkpoint(path).step == 1


def test_another_architecture(model, tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(checkpoint_of(model), path)
    with pytest.raises(UserError, match=r"does not fit the network: .*layer1\.2"):
        load_checkpoint(path).restore(ModelSpec(architecture="resnet34", weights="none").build(5, seed=0))


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 truncated"])
def test_not_a_checkpoint(tmp_path, content):
    path = tmp_path / "last.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="no readable checkpoint"):
        load_checkpoint(path)


def test_a_foreign_file_and_no_file(tmp_path):
    path = tmp_path / "last.pt"
    torch.save({"weights": 1}, path)
    with pytest.raises(UserError, match="no checkpoint of this version"):
        load_checkpoint(path)
    with pytest.raises(UserError, match="train the run first"):
        load_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("text", ["garbage\n", "1\n", '{"loss": 1}\n', "\x00\xff\n"])
def test_a_damaged_log_is_named(tmp_path, text):
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=r"log\.jsonl is damaged"):
        TrainingLog(path, 0)


def test_log_forgets_what_will_be_done_again(tmp_path):
    path = tmp_path / "log.jsonl"
    log = TrainingLog(path, 0)
    for step in (10, 20, 30):
        log.write(step=step, loss=step / 7)
    path.write_text(path.read_text() + '{"step": 40, "los')  # killed while writing
    resumed = TrainingLog(path, 20)
    assert [line["step"] for line in resumed.lines()] == [10, 20]
    resumed.write(step=30, loss=1.0)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [10, 20, 30]
