"""A network of somebody else's, judged from the command line: its own predictions, whatever its file looks like."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from atlpa.cli.eval import main
from atlpa.cli.export import main as export
from atlpa.records import Evaluation

SIZE = 32
ATTACK = ["--attack", "pgd", "--eps", "8/255", "--step", "4/255", "--iters", "2"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Photographs of two classes, and the weights of a network for them."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for number in range(5):
            folder = Path("photos") / label
            folder.mkdir(parents=True, exist_ok=True)
            pixels = draw.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=2).eval()
    torch.save(network.state_dict(), "plain.pth")
    return network


def images():
    """What a user would load by hand: ``(10, 3, 32, 32)`` in [0, 1], cats first."""
    files = sorted(Path("photos").glob("*/*.png"))
    arrays = np.stack([np.asarray(Image.open(file)) for file in files])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 255, torch.tensor([0] * 5 + [1] * 5)


def verdicts(network, mean, std):
    shown, labels = images()
    mean, std = (torch.tensor(value)[:, None, None] for value in (mean, std))
    with torch.no_grad():
        return "".join(str(int(right)) for right in network((shown - mean) / std).argmax(dim=1) == labels)


def judged(*arguments):
    assert main(["--data", "folder:photos", "--size", str(SIZE), *ATTACK, *arguments, "--json", "out.json"]) == 0
    return [Evaluation.of(Path("out.json"), fields) for fields in json.loads(Path("out.json").read_text())]


def refused(capsys, *arguments):
    capsys.readouterr()
    assert main([*arguments]) == 2
    found = capsys.readouterr().err
    assert len(found.strip().splitlines()) == 1
    return found


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAYOUTS = {
    "plain": lambda state: state,
    "lightning": lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}, "epoch": 3},
    "parallel": lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
    "net": lambda state: {"net": state},
    "some other name": lambda state: {"ema": state, "epoch": 3},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_the_same_network_whatever_its_file_looks_like(layout, here):
    torch.save(LAYOUTS[layout](here.state_dict()), "weights.pth")
    (record,) = judged("--model", "resnet18", "--weights", "weights.pth")
    assert record.clean == (verdicts(here, *IMAGENET),)
    assert record.threat == "white"
    assert (record.data.count, record.data.available) == (10, 10)  # all images are judged: nothing was trained here


def test_normalization_is_that_which_is_given_or_the_networks_own(here):
    (record,) = judged("--model", "resnet18", "--weights", "plain.pth", "--set", "model.normalization=none")
    assert record.clean == (verdicts(here, (0.0,) * 3, (1.0,) * 3),)
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    network = timm.create_model("test_vit3", num_classes=2, img_size=SIZE).eval()
    torch.save(network.state_dict(), "vit.pth")
    (record,) = judged("--model", "timm:test_vit3", "--weights", "vit.pth")
    own = network.pretrained_cfg
    assert record.clean == (verdicts(network, own["mean"], own["std"]),)


OTHER = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
NORMALIZERS = {
    "beside the network": lambda mean, std: {"normalize.mean": mean.view(1, 3, 1, 1), "normalize.std": std},
    "of itself": lambda mean, std: {"mu": mean.view(3, 1, 1), "sigma": std.view(3, 1, 1)},
    "twice": lambda mean, std: {
        f"module.{place}.new_{name}": value.view(3, 1, 1)
        for place in ("normalizer", "attacker.normalize")
        for name, value in (("mean", mean), ("std", std))
    },
}


@pytest.mark.parametrize("layer", NORMALIZERS)
def test_a_layer_that_normalizes_is_found_in_a_checkpoint(layer, here, capsys):
    """Unless the command line knows better; what stands on pixels up to 255 is no such thing."""
    state = {f"module.model.{name}": value for name, value in here.state_dict().items()}
    torch.save({"state_dict": state | NORMALIZERS[layer](*map(torch.tensor, OTHER))}, "weights.pth")
    (record,) = judged("--model", "resnet18", "--weights", "weights.pth")
    assert record.clean == (verdicts(here, *OTHER),)
    assert "mean 0.491 0.482 0.447" in capsys.readouterr().out
    chosen = ["--set", "model.normalization=none", "--set", "output=runs/other"]
    (record,) = judged("--model", "resnet18", "--weights", "weights.pth", *chosen)
    assert record.clean == (verdicts(here, (0.0,) * 3, (1.0,) * 3),)
    torch.save(state | NORMALIZERS[layer](*(255 * torch.tensor(one) for one in OTHER)), "bytes.pth")
    (record,) = judged("--model", "resnet18", "--weights", "bytes.pth")
    assert record.clean == (verdicts(here, *IMAGENET),)


@pytest.mark.parametrize("values", [tuple(map(torch.tensor, OTHER)), tuple(map(list, OTHER)), ([0, 0, 0], [1, 1, 1])])
def test_mean_and_deviation_beside_a_state_are_found(values, here):
    torch.save({"state_dict": here.state_dict(), "epoch": 3, "mean": values[0], "std": values[1]}, "weights.pth")
    (record,) = judged("--model", "resnet18", "--weights", "weights.pth")
    assert record.clean == (verdicts(here, *(tuple(map(float, one)) for one in values)),)


def test_a_layer_of_the_state_counts_before_what_stands_beside_it(here):
    mean, std = map(torch.tensor, OTHER)
    state = {f"model.{name}": value for name, value in here.state_dict().items()}
    state |= {"normalize.mean": mean, "normalize.std": std}
    torch.save({"state_dict": state, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}, "weights.pth")
    (record,) = judged("--model", "resnet18", "--weights", "weights.pth")
    assert record.clean == (verdicts(here, *OTHER),)


def test_a_layer_of_a_networks_own_is_not_put_before_it_too(here, capsys, monkeypatch):
    """A factory of the user's makes it, and its weights fill it."""
    Path("normalizing_net.py").write_text(
        "import torch, torchvision\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, classes):\n"
        "        super().__init__()\n"
        "        self.register_buffer('mean', torch.zeros(3, 1, 1))\n"
        "        self.register_buffer('std', torch.ones(3, 1, 1))\n"
        "        self.net = torchvision.models.resnet18(num_classes=classes)\n"
        "    def forward(self, images):\n"
        "        return self.net((images - self.mean) / self.std)\n"
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in OTHER)
    state = {f"net.{name}": value for name, value in here.state_dict().items()} | {"mean": mean, "std": std}
    torch.save(state, "own.pth")
    judged("--model", "normalizing_net:Net", "--weights", "own.pth")
    assert "mean 0.491" not in capsys.readouterr().out


def test_one_given_network_attacks_another(here, capsys):
    torch.manual_seed(2)
    torch.save(torchvision.models.resnet34(num_classes=2).state_dict(), "other.pth")
    judged("--model", "resnet34", "--weights", "other.pth")
    records = judged(
        "--model", "resnet18", "--weights", "plain.pth", "--source", "runs/given/resnet34-other-folder-photos-32"
    )
    found = [(record.threat, record.source.architecture) for record in records]
    assert found == [("white", "resnet18"), ("transfer", "resnet34")]


def test_those_that_could_attack_it_are_named(here, capsys):
    """Of a network that somebody trained elsewhere nobody knows what would be its gray- or black-box source."""
    torch.save(torchvision.models.resnet34(num_classes=2).state_dict(), "other.pth")
    judged("--model", "resnet34", "--weights", "other.pth")
    capsys.readouterr()
    other = "runs/given/resnet34-other-folder-photos-32"
    given = ["--model", "resnet18", "--weights", "plain.pth", "--data", "folder:photos", "--size", str(SIZE)]
    assert main([*given, *ATTACK]) == 0
    assert main(["--run", "runs/given/resnet18-plain-folder-photos-32", *ATTACK]) == 0
    (note,) = [line for line in "".join(capsys.readouterr()).splitlines() if "how it was trained is not known" in line]
    assert note.endswith(f"--source DIR attacks it by transfer, of those beside it {other}")
    assert main([*given, "--check", "--eps", "8/255", "--source", other, "--limit", "4"]) == 0
    (transfer,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| transfer ")]
    assert "no transfer source was given" not in transfer


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_an_export_says_itself_what_it_was_made_for(kind, here, capsys):
    plain = judged("--model", "resnet18", "--weights", "plain.pth", "--set", "model.normalization=none")[0]
    file = f"exported.{'pt' if kind == 'torch' else kind}"
    assert export(["runs/given/resnet18-plain-folder-photos-32", file, "--to", kind]) == 0
    (again,) = judged("--model", "resnet18", "--weights", file)
    assert again.target.weights == plain.target.weights
    assert again.clean[0] == verdicts(here, (0, 0, 0), (1, 1, 1))
    Path("photos/dog").rename("photos/fox")
    given = ["--model", "resnet18", "--weights", file, "--data", "folder:photos", "--set", "output=other"]
    assert "'dog' where that has 'fox', 1 of 2 in all" in refused(capsys, *given, *ATTACK)
    assert not Path("other").exists()


def test_it_is_checked_and_bundled_like_a_run(here, capsys):
    given = ["--model", "resnet18", "--weights", "plain.pth", "--data", "folder:photos", "--size", str(SIZE)]
    assert main([*given, "--check", "--eps", "8/255"]) == 0
    assert "10 of 10 test images of folder" in capsys.readouterr().out
    judged("--model", "resnet18", "--weights", "plain.pth")
    assert main(["--run", "runs/given/resnet18-plain-folder-photos-32", "--bundle", "given.zip"]) == 0
    assert main(["--verify", "given.zip"]) == 0
    assert "10 of 10 verdicts on images agree" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_two_sizes_are_two_networks():
    for size in (SIZE, SIZE + 4):
        given = ["--model", "resnet18", "--weights", "plain.pth", "--data", "folder:photos", "--size", str(size)]
        assert main([*given, *ATTACK]) == 0
    assert len(list(Path("runs/given").iterdir())) == 2


def test_other_images_of_the_same_names_are_other_images(here, capsys, tmp_path):
    """Copies with noise, the usual case: judged in a folder of another name, refused in one of the same."""
    judged("--model", "resnet18", "--weights", "plain.pth")
    for copy in ("noisy", "else/photos"):
        shutil.copytree("photos", copy)
    given = ["--model", "resnet18", "--weights", "plain.pth", "--size", str(SIZE), *ATTACK]
    assert main([*given, "--data", "folder:noisy"]) == 0
    assert len(list(Path("runs/given").iterdir())) == 2
    said = refused(capsys, *given, "--data", "folder:else/photos")
    assert "was judged on the images in" in said
    assert "--set output=DIR" in said
    assert main([*given, "--data", "folder:else/photos", "--set", "output=elsewhere"]) == 0


@pytest.mark.usefixtures("here")
def test_where_the_images_lie_is_said_once(capsys):
    given = ["--model", "resnet18", "--weights", "plain.pth", *ATTACK]
    assert "both say where the images lie" in refused(
        capsys, *given, "--data", "folder:photos", "--data-root", "photos"
    )
    assert "needs the folder, as in" in refused(capsys, *given, "--data", "folder")
    assert "cannot be imported" in refused(capsys, *given, "--data", "no_such_package.sets:Mine")


def test_what_does_not_fit_is_said(here, capsys):
    given = ["--data", "folder:photos", "--size", str(SIZE), *ATTACK]
    judged("--model", "resnet18", "--weights", "plain.pth")
    state = here.state_dict()
    torch.save({**state, "fc.bias": state["fc.bias"] + 1}, "plain.pth")
    said = refused(capsys, *given, "--model", "resnet18", "--weights", "plain.pth")
    assert "holds another network than plain.pth does now" in said
    torch.save(torchvision.models.resnet18(num_classes=5).state_dict(), "five.pth")
    assert "is for 5 classes, and the data has 2" in refused(
        capsys, *given, "--model", "resnet18", "--weights", "five.pth"
    )
    torch.save({name: value for name, value in state.items() if name != "layer1.0.conv1.weight"}, "less.pth")
    said = refused(capsys, *given, "--model", "resnet18", "--weights", "less.pth")
    assert "missing layer1.0.conv1.weight" in said
    assert "'resnet81'" in refused(capsys, *given, "--model", "resnet81", "--weights", "plain.pth")
    assert "needs --weights" in refused(capsys, *given, "--model", "resnet18")
    assert "needs --data" in refused(capsys, "--model", "resnet18", "--weights", "plain.pth")
    assert "name it with --model" in refused(capsys, "--weights", "plain.pth")
    assert "both name what is judged" in refused(
        capsys, *given, "--model", "resnet18", "--weights", "plain.pth", "--run", "x"
    )
    assert not list(Path("runs/given").glob("*five*"))


OWN = """
import torch
from torch import nn


class Two(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.last = nn.Linear(3, classes)

    def forward(self, images):
        return self.last(images.mean(dim=(2, 3))), 0


def two(classes):
    return Two(classes)


def gray(classes):
    return nn.Sequential(nn.Conv2d(1, classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def seven(classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 7))


def maps(classes):
    return nn.Conv2d(3, classes, 3)


def shares(classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes), nn.Softmax(dim=1))


class Strict(nn.Module):
    def forward(self, images):
        assert images.shape[-1] == 64, "images of 64 pixels, please"


def strict(classes):
    return nn.Sequential(Strict(), nn.Linear(3, classes))


class Noisy(nn.Module):
    def forward(self, images):
        return images + torch.randn_like(images)


def noisy(classes):
    return nn.Sequential(Noisy(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("two", "judged_nets:two gave tuple for 2 images"),
        ("gray", "takes no images (3, 32, 32) of torch.float32 on cpu"),
        ("seven", "tells 7 classes apart, and the data has 2: cat, dog"),
        ("maps", "it must give logits (images, classes)"),
        ("strict", "images of 64 pixels, please; --size sets the side of the images"),
    ],
)
def test_what_gives_no_logits_for_these_classes_is_refused_and_leaves_nothing(name, said, here, capsys, monkeypatch):
    Path("judged_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(".")
    make = getattr(importlib.import_module("judged_nets"), name)
    torch.save(make(2).state_dict(), "own.pth")
    given = ["--model", f"judged_nets:{name}", "--weights", "own.pth", "--data", "folder:photos", "--size", str(SIZE)]
    assert said in refused(capsys, *given, *ATTACK)
    assert not Path("runs").exists()


def test_what_draws_without_saying_so_is_refused_as_target_and_checked_all_the_same(here, capsys, monkeypatch):
    """At every iterate it would draw anew, until each image falls; the checks are made for such a network too."""
    Path("judged_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(".")
    torch.save(importlib.import_module("judged_nets").noisy(2).state_dict(), "own.pth")
    given = ["--model", "judged_nets:noisy", "--weights", "own.pth", "--data", "folder:photos", "--size", str(SIZE)]
    assert "the model draws by itself" in refused(capsys, *given, *ATTACK)
    assert not list(Path("runs").rglob("white-*.json"))
    assert main([*given, "--check", "--eps", "8/255", "--limit", "4"]) == 0
    assert "| repeatability" in capsys.readouterr().out


def test_what_a_network_is_taken_for_is_said(here, capsys, monkeypatch):
    Path("judged_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(".")
    torch.save(importlib.import_module("judged_nets").shares(2).state_dict(), "own.pth")
    judged("--model", "judged_nets:shares", "--weights", "own.pth")
    out = capsys.readouterr().out
    assert "it seems to give probabilities" in out
    assert "images of 32×32, normalized by mean 0.485 0.456 0.406 and deviation 0.229 0.224 0.225" in out
    assert "its logits are taken for cat, dog, in this order" in out


def test_a_network_of_timms_sees_images_of_its_own_size(here):
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    network = timm.create_model("test_vit3", num_classes=2)
    torch.save(network.state_dict(), "vit.pth")
    given = ["--model", "timm:test_vit3", "--weights", "vit.pth", "--data", "folder:photos", *ATTACK]
    assert main([*given, "--json", "out.json"]) == 0
    (record,) = json.loads(Path("out.json").read_text())
    assert record["data"]["size"] == network.pretrained_cfg["input_size"][-1]
