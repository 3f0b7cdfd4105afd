"""``atlpa-export``: what it writes is the run's network for whoever has torchvision, timm or onnxruntime."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

from atlpa.cli.export import main
from atlpa.experiment import load
from atlpa.models import ModelSpec
from atlpa.runs import FORMATS, train_run
from tests.conftest import TINY

SMALL = "tests.cli.test_export:small"
IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def small(classes):
    """A network with a stage for a denoising block, which is followed in a moment."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)),
    )
    network.stages = {"early": "2"}
    return network


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty present folder."""
    monkeypatch.chdir(tmp_path)


def exported(run, to, file="network", *options):
    assert main([str(run.folder), file, "--to", to, *options]) == 0
    return Path(file)


def refused(capsys, run, to, *options, file="network"):
    """The line with which nothing is written."""
    before = sorted(Path().iterdir())
    assert main([str(run.folder), file, "--to", to, *options]) == 2
    assert sorted(Path().iterdir()) == before
    (line,) = capsys.readouterr().err.splitlines()
    return line


def logits_of(run, images=IMAGES):
    with torch.no_grad():
        return run.load_model(torch.device("cpu"))(images)


def normalized(told, images=IMAGES):
    mean, std = (torch.tensor(told["normalization"][name])[:, None, None] for name in ("mean", "std"))
    return (images - mean) / std


def test_a_state_dict_for_torchvision(tiny_run, capsys):
    run = tiny_run("pat")
    file = exported(run, "torch", "pat.pt")
    told = json.loads(Path("pat.pt.json").read_text())
    plain = torchvision.models.resnet18(num_classes=10).eval().requires_grad_(False)
    plain.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.allclose(plain(normalized(told)), logits_of(run), atol=1e-5)
    assert told["network"] == "torchvision.models.get_model('resnet18', num_classes=10)"
    assert told["network"] in capsys.readouterr().out
    assert told["classes"] == list("0123456789")
    assert (told["size"], told["defense"], told["kept"]) == (32, "pat", "last")
    assert told["weights"] == run.network.weights
    assert told["experiment"] == json.loads(json.dumps(run.experiment.identity()))
    assert not {"output", "device"} & told["experiment"].keys()  # where it lay is nobody's business
    assert {path.name for path in Path().iterdir()} == {"pat.pt", "pat.pt.json"}


def test_what_it_writes_is_weights_to_begin_with(tiny_run):
    run = tiny_run("pat")
    spec = ModelSpec(architecture="resnet18", weights=str(exported(run, "torch")))
    model = spec.build(10, seed=1)
    assert spec.load_initial_weights(model) == []
    assert torch.allclose(model.eval()(IMAGES).detach(), logits_of(run), atol=1e-5)


def test_safetensors_for_timm(tiny_run):
    run = tiny_run("none", "timm:resnet10t")
    file = exported(run, "safetensors", "network.safetensors")
    with safetensors.safe_open(file, framework="pt") as content:
        told = json.loads(content.metadata()["atlpa"])
    assert told["experiment"]["model.architecture"] == "timm:resnet10t"
    plain = eval(told["network"], {"timm": timm}).eval().requires_grad_(False)
    plain.load_state_dict(safetensors.torch.load_file(file), strict=True)
    assert torch.allclose(plain(normalized(told)), logits_of(run), atol=1e-5)
    assert [path.name for path in Path().iterdir()] == ["network.safetensors"]


@pytest.mark.parametrize("defense", ["pat", "fd"])
def test_onnx_takes_images_and_holds_denoising_blocks(tiny_run, defense):
    """Whether the blocks do anything is seen by leaving them out: γ is no longer zero after three steps."""
    run = tiny_run(defense, SMALL)
    file = exported(run, "onnx", "network.onnx")
    onnx.checker.check_model(onnx.load(file), full_check=True)
    session = onnxruntime.InferenceSession(str(file))
    for images in (IMAGES, IMAGES[:1], torch.cat([IMAGES] * 4)):
        (found,) = session.run(["logits"], {"images": images.numpy()})
        assert np.allclose(found, logits_of(run, images).numpy(), atol=1e-5)
    told = json.loads(session.get_modelmeta().custom_metadata_map["atlpa"])
    assert told["classes"] == list("0123456789")
    assert [path.name for path in Path().iterdir()] == ["network.onnx"]
    if defense == "fd":
        bare = run.load_model(torch.device("cpu"))
        for block in bare.denoise.values():
            block.norm.weight.data.zero_(), block.norm.bias.data.zero_()
        with torch.no_grad():
            assert not torch.allclose(bare(IMAGES), logits_of(run), atol=1e-4)


@pytest.mark.parametrize("name", ["googlenet", "vit_b_16", "resnet18_cifar", "timm:vit_tiny_patch16_224"])
def test_every_kind_of_network_is_made_as_it_says(name):
    """The names and shapes of the plain network's state are those of ours."""
    import atlpa.models
    from atlpa.models import build_backbone, expression_of

    with torch.device("meta"):
        ours = build_backbone(name, 5, 64)
        plain = eval(expression_of(name, 5, 64), {"torchvision": torchvision, "timm": timm, "atlpa": atlpa})
    shapes = [{key: value.shape for key, value in network.state_dict().items()} for network in (ours, plain)]
    assert shapes[0] == shapes[1]


@pytest.fixture(scope="module")
def selecting(tmp_path_factory):
    """A run whose best network is not its last."""
    attack = {"name": "pgd", "epsilon": "8/255", "step": "8/255", "iterations": 1}
    fields = [("training.select_by", attack), ("training.validate_every", 1), ("training.learning_rate", 0.2)]
    folder = tmp_path_factory.mktemp("selecting") / "run"
    changes = [*TINY, ("final", False), ("model.architecture", SMALL), *fields, ("output", str(folder))]
    run = train_run(load("digits", changes), say=lambda _: None)
    assert [one.judged for one in run.networks] == ["best", "last"]
    return run


@pytest.mark.parametrize(
    ("options", "kept"), [([], "best"), (["--kept", "best"], "best"), (["--kept", "last"], "last")]
)
def test_of_two_networks_the_one_that_is_judged_first_unless_another_is_named(selecting, options, kept):
    file = exported(selecting, "torch", "network", *options)
    content = torch.load(selecting.path_of(kept), weights_only=True)["model"]
    for name, value in torch.load(file, weights_only=True).items():
        assert torch.equal(value, content[f"backbone.{name}"])
    assert json.loads(Path("network.json").read_text())["kept"] == kept


def test_a_best_network_that_is_none(tiny_run, capsys):
    assert "selects no best network" in refused(capsys, tiny_run("pat", SMALL), "torch", "--kept", "best")


@pytest.mark.parametrize(
    ("defense", "to", "words"),
    [
        ("fd", "torch", f"has denoising blocks (defense.denoise), which a plain {SMALL} has no place for; --to onnx"),
        ("fd", "safetensors", "has denoising blocks"),
        ("rat", "torch", "draws at every inference (defense.noise)"),
        ("rat", "onnx", "draws at every inference (defense.noise)"),
        ("randomization", "onnx", "draws at every inference (defense.randomize)"),
    ],
)
def test_what_a_format_cannot_hold(tiny_run, capsys, defense, to, words):
    assert words in refused(capsys, tiny_run(defense, SMALL), to)


@pytest.mark.parametrize("there", ["network", "network.json"])
def test_what_is_there_is_not_replaced(tiny_run, capsys, there):
    Path(there).write_text("mine")
    assert f"{there} is there already, and is not replaced" in refused(capsys, tiny_run("pat", SMALL), "torch")
    assert Path(there).read_text() == "mine"


def test_nor_a_runs_own_checkpoint(tiny_run, capsys):
    run = tiny_run("pat", SMALL)
    assert "last.pt is there already" in refused(capsys, run, "torch", file=str(run.folder / "last.pt"))


def test_a_folder_that_cannot_be_made(tiny_run, capsys):
    Path("file").write_text("")
    assert "cannot be written" in refused(capsys, tiny_run("pat", SMALL), "torch", file="file/network")


@pytest.mark.parametrize(("package", "to"), [("onnxscript", "onnx"), ("onnxruntime", "onnx")])
def test_a_missing_package_is_asked_for(tiny_run, capsys, monkeypatch, package, to):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else real(name))
    assert f"--to {to} needs {package}; pip install 'atlpa[export]'" in refused(capsys, tiny_run("pat", SMALL), to)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told, state: (told, {**state, "5.bias": state["5.bias"] + 1e-3}),
        lambda told, state: (told, {**state, "5.bias": state["5.bias"] * torch.nan}),
        lambda told, state: ({**told, "normalization": {"mean": [0.5] * 3, "std": [0.25] * 3}}, state),
        lambda told, state: ({**told, "classes": told["classes"][::-1]}, state),
    ],
    ids=["weight", "nan", "normalization", "classes"],
)
def test_an_export_that_is_another_network_is_refused_and_gone(tiny_run, capsys, monkeypatch, spoil):
    """As a bug in a writer would spoil it, or a disk."""
    whole = FORMATS["torch"]

    def write(model, description, path):
        whole.write(model, description, path)
        (beside,) = whole.beside(path)
        told, state = spoil(json.loads(beside.read_text()), torch.load(path, weights_only=True))
        beside.write_text(json.dumps(told))
        torch.save(state, path)

    monkeypatch.setitem(FORMATS, "torch", replace(whole, write=write))
    assert "nothing was written" in refused(capsys, tiny_run("pat", SMALL), "torch")


def test_a_folder_without_a_run(tmp_path, capsys):
    assert main([str(tmp_path), "network", "--to", "torch"]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_the_tracer_says_why_it_cannot_follow(tiny_run, capsys, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no such operator\nand a page of advice")

    monkeypatch.setattr(torch.onnx, "export", fail)
    line = refused(capsys, tiny_run("pat", SMALL), "onnx")
    assert line == f"atlpa-export: {SMALL} cannot be written as ONNX: no such operator"
