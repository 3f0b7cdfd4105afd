"""Networks by name: what they declare, against forward passes by hand and against torchvision and timm themselves."""

import sys

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import PGD
from atlpa.defenses import Defense, load_preset
from atlpa.engine import Frozen, prepare
from atlpa.errors import UserError
from atlpa.experiment import load
from atlpa.models import NETWORKS, Classifier, ModelSpec, RandomResize, record_outputs, record_stages, stage_layers
from atlpa.randomness import generator

FAMILIES = {
    "alexnet": 64,
    "convnext_tiny": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "googlenet": 64,
    "maxvit_t": 224,
    "mnasnet0_5": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_large": 64,
    "regnet_y_400mf": 64,
    "resnext50_32x4d": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "swin_t": 64,
    "swin_v2_t": 64,
    "vgg11_bn": 64,
    "timm:convnext_atto": 64,
    "timm:efficientnet_lite0": 64,
    "timm:resnet10t": 64,
    "timm:swin_tiny_patch4_window7_224": 64,
    "timm:regnety_002": 64,
}


def built(name, size=64, classes=7, **fields):
    return ModelSpec(architecture=name, weights="none", **fields).build(classes, seed=0, size=size).eval()


@pytest.mark.parametrize(("name", "size"), FAMILIES.items())
def test_stages_are_maps_each_coarser_than_the_one_before(name, size):
    """What the paper's four stages are in a ResNet: 1/4 to 1/32 of the image's side; the head gives the logits."""
    model = built(name, size)
    with torch.no_grad(), record_stages(model) as stages, record_outputs(model.backbone, {"head": model.head}) as given:
        logits = model(torch.rand(2, 3, size, size))
    sides = [stage.shape[-1] for stage in stages.values()]
    assert len(stages) == 4
    assert all(stage.ndim == 4 and stage.shape[2] == stage.shape[3] for stage in stages.values())
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) == 4
    assert sides[0] <= size // 2  # SqueezeNet's four begin at a half
    answer = given["head"]  # SqueezeNet's head is a convolution, whose ReLU is averaged
    assert torch.equal(answer, logits) if answer.ndim == 2 else answer.shape[:2] == logits.shape


def test_every_classifier_of_torchvision_is_there_and_networks_for_small_images():
    ours = {"resnet18_cifar", "resnet34_cifar", "resnet50_cifar", "small_cnn"}
    assert set(NETWORKS) - ours == set(torchvision.models.list_models(module=torchvision.models))
    assert "fcn_resnet50" not in NETWORKS


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_resnets_start_from_the_very_weights_they_always_had(name):
    """torchvision's initialization from the seed's own numbers, under torchvision's names."""
    own = ModelSpec(architecture=name, weights="none").build(5, seed=3, size=64).state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(3, "initialization").initial_seed())
        theirs = torchvision.models.get_model(name, weights=None, num_classes=5).state_dict()
    assert list(own) == ["mean", "std", *(f"backbone.{key}" for key in theirs)]
    assert all(torch.equal(value, own[f"backbone.{key}"]) for key, value in theirs.items())


def test_denoising_blocks_are_called_as_ever():
    """Checkpoints of before load, their optimizer's state too, which goes by the order of the parameters."""
    model = ModelSpec(architecture="resnet18", weights="none").build(5, seed=0, denoise="softmax")
    plain = ModelSpec(architecture="resnet18", weights="none").build(5, seed=0)
    parts = ("theta.weight", "phi.weight", "conv.weight", "norm.weight", "norm.bias")
    blocks = [f"denoise.{stage}.{part}" for stage in ("conv2_x", "conv3_x", "conv4_x", "conv5_x") for part in parts]
    names = [name for name, _ in model.named_parameters()]
    assert names == [*(name for name, _ in plain.named_parameters()), *blocks]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "model.architecture: unknown network 'resnet19'; did you mean 'resnet18'"),
        ("timm:convnext_tin", "unknown network 'timm:convnext_tin'; did you mean 'timm:convnext_tiny'"),
        ("nowhere.at:all", "network 'nowhere.at:all' cannot be imported: No module named 'nowhere'"),
        ("math:pi", "network 'math:pi' is a float; give what is called with a number of classes"),
    ],
)
def test_a_name_that_is_none_is_refused_when_it_is_read(name, message):
    with pytest.raises(UserError, match=message):
        load("digits", [("model.architecture", name)])


def test_without_timm_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"install it with: pip install 'atlpa\[networks\]'"):
        load("digits", [("model.architecture", "timm:convnext_atto")])


def test_the_run_keeps_what_timm_it_was_and_a_folder_without_a_colon():
    experiment = load("digits", [("model.architecture", "timm:convnext_atto")])
    assert experiment.resolved()["code"] == {"timm:convnext_atto": f"timm {timm.__version__}"}
    assert experiment.folder.name == "none-timm-convnext_atto-seed0"


@pytest.mark.parametrize(("name", "prefix"), [("timm:vit_tiny_patch16_224", 1), ("vit_b_16", 1)])
def test_tokens_lie_on_their_grid_row_by_row(name, prefix):
    """Against the tokens themselves: place (y, x) of a 4×4 grid is token prefix + 4·y + x."""
    model = built(name)
    with torch.no_grad(), record_stages(model) as maps, record_outputs(model, stage_layers(model)) as tokens:
        model(torch.rand(2, 3, 64, 64))
    assert list(maps) == ["stage1", "stage2", "stage3", "stage4"]
    for stage, found in maps.items():
        assert found.shape[2:] == (4, 4)
        assert tokens[stage].shape[1] == prefix + 16
        for y in range(4):
            for x in range(4):
                assert torch.equal(found[:, :, y, x], tokens[stage][:, prefix + 4 * y + x])


def test_an_occluded_patch_changes_its_own_place_first():
    """The first block of a ViT still knows where it looks: the patch that changed changes most."""
    model = built("timm:vit_tiny_patch16_224", stages={"first": "blocks.0"})
    image = torch.rand(1, 3, 64, 64)
    other = image.clone()
    other[:, :, 16:32, 48:64] = 0
    with torch.no_grad(), record_stages(model) as maps:
        model(torch.cat([image, other]))
    change = (maps["first"][0] - maps["first"][1]).norm(dim=0)
    assert divmod(change.argmax().item(), 4) == (1, 3)


def test_normalization_is_what_the_network_was_made_for_unless_it_is_given():
    image = torch.rand(2, 3, 64, 64)
    vit = built("timm:vit_tiny_patch16_224")
    torch.testing.assert_close(vit(image), vit.backbone((image - 0.5) / 0.5))
    plain = built("resnet18", normalization="none")
    torch.testing.assert_close(plain(image), plain.backbone(image))
    own = built("resnet18", normalization={"mean": [0.1, 0.2, 0.3], "std": [1, 2, 4]})
    scaled = (image - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    torch.testing.assert_close(own(image), own.backbone(scaled))
    with pytest.raises(UserError, match=r"model\.normalization.*std.*greater than or equal to"):
        load("digits", [("model.normalization", {"mean": [0, 0, 0], "std": [1, 0, 1]})])


def test_stages_by_paths_of_layers():
    model = built("resnet18", stages={"early": "layer1.0", "late": "layer4.1.conv2"})
    with record_stages(model) as stages:
        model(torch.rand(2, 3, 64, 64))
    assert {name: tuple(stage.shape[1:]) for name, stage in stages.items()} == {
        "early": (64, 16, 16),
        "late": (512, 2, 2),
    }
    with record_stages(model, ("late",)) as stages:
        model(torch.rand(2, 3, 64, 64))
    assert list(stages) == ["late"]
    with pytest.raises(UserError, match=r"model\.stages: unknown layer 'layer5'; did you mean 'layer"):
        built("resnet18", stages={"late": "layer5"})
    with (
        pytest.raises(ValueError, match="no stage deep in this Classifier; it declares early, late"),
        record_stages(model, ("deep",)),
    ):
        pass


def test_a_defense_says_which_stages_the_network_has():
    defense = Defense(
        **{**load_preset("atlpa").fields, "terms": {"cross_entropy": {}, "attention_map": {"stages": ["conv9_x"]}}}
    )
    with pytest.raises(
        UserError, match=r"terms\.attention_map: .*conv9_x.*has conv2_x, conv3_x, conv4_x, conv5_x; model"
    ):
        defense.build(ModelSpec(architecture="resnet18", weights="none"), 7, 0, 32)
    spec = ModelSpec(architecture="torch.nn:LazyLinear", weights="none")
    with pytest.raises(UserError, match=r"names none; model\.stages names layers of torch\.nn:LazyLinear"):
        Defense(**load_preset("atlpa").fields).build(spec, 7, 0, 32)
    with pytest.raises(UserError, match=r"it declares none; give model\.stages"):
        Defense(**load_preset("fd").fields).build(spec, 7, 0, 32)
    assert stage_layers(Defense(**load_preset("pat").fields).build(spec, 7, 0, 32)) == {}


def test_a_network_of_one_size_gets_randomized_images_back_at_that_size():
    """A ViT takes 64×64 and nothing else; what it is shown is still random, and keyed by its generator."""
    model = built("timm:vit_tiny_patch16_224")
    randomized = Classifier(model.backbone, randomize=RandomResize(), side=64).eval()
    image = torch.rand(2, 3, 64, 64)
    frame = randomized.randomize.draw((image - randomized.mean) / randomized.std, generator(0, "test"))
    assert frame.shape[-1] == 71
    shown = F.interpolate(frame, size=64, mode="bilinear", align_corners=True)
    randomized.randomize.generators = generator(0, "test")
    torch.testing.assert_close(randomized(image), randomized.backbone(shown))


def test_networks_that_fail_to_be_built_say_so_in_one_line():
    with pytest.raises(UserError, match="network 'vit_b_16' with 7 classes for images of 40×40 cannot be built"):
        built("vit_b_16", 40)
    with pytest.raises(UserError, match="network 'math:sqrt' gave a float"):
        built("math:sqrt")


@pytest.mark.parametrize("name", ["convnext_tiny", "mobilenet_v3_small", "timm:vit_tiny_patch16_224"])
def test_the_engine_agrees_or_steps_aside(name):
    """Whatever it makes of a network, learned denoising blocks included, the gradients are the network's own."""
    model = ModelSpec(architecture=name, weights="none").build(7, seed=0, denoise="mean", size=64).eval()
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    prepare(model, images, "auto", "fp32", passes=20)  # remembers whether a copy agrees, while the blocks are silent
    for block in model.denoise.values():
        nn.init.ones_(block.norm.weight)
    answers = []
    for network in (model, prepare(model, images, "auto", "fp32", passes=20)):
        point = images.clone().requires_grad_(True)
        logits = network(point)
        answers.append((logits.detach(), torch.autograd.grad(logits[:, 0].sum(), point)[0]))
    (logits, gradient), (found, found_gradient) = answers
    torch.testing.assert_close(found, logits, rtol=1e-3, atol=1e-4)
    assert (found_gradient - gradient).norm() < 1e-2 * gradient.norm()


def test_denoising_behind_a_single_layer_is_in_the_engines_copy():
    """A stage may be a ReLU or a convolution, which the engine would otherwise take for itself."""
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 28 * 28, 5))
    backbone.stages = {"early": "1", "late": "2"}
    model = Classifier(backbone, denoise="dot_product", side=32).eval()
    for block in model.denoise.values():
        nn.init.ones_(block.norm.weight)
    images = torch.rand(2, 3, 32, 32)
    copy = Frozen(model)
    torch.testing.assert_close(copy(images), model(images), rtol=1e-4, atol=1e-5)
    with_blocks = model(images)
    for block in model.denoise.values():
        nn.init.zeros_(block.norm.weight)
    assert not torch.allclose(model(images), with_blocks)
    attack = PGD(0.1, 0.05, 2)
    assert attack(model, images, torch.tensor([0, 1])).shape == images.shape


def test_weights_of_another_familys_file(tmp_path):
    """A head of another size is replaced, wherever it is."""
    for name in ("convnext_tiny", "timm:vit_tiny_patch16_224"):
        theirs, model = built(name, classes=11), built(name)
        path = tmp_path / "weights.pt"
        torch.save(theirs.backbone.state_dict(), path)
        spec = ModelSpec(architecture=name, weights=str(path))
        (note,) = spec.load_initial_weights(model)
        assert "the head of 11 classes was replaced by a new one of 7" in note
        own, given = model.backbone.state_dict(), theirs.backbone.state_dict()
        assert all(torch.equal(own[key], given[key]) for key in own if not key.startswith(model.head))
    with pytest.raises(UserError, match=r"torch\.nn:LazyLinear has no published weights"):
        ModelSpec(architecture="torch.nn:LazyLinear").load_initial_weights(built("resnet18"))


def test_published_positions_of_a_vit_are_interpolated_to_a_smaller_grid(monkeypatch):
    published = torchvision.models.vit_b_16(weights=None).state_dict()
    entry = type("Entry", (), {"get_state_dict": lambda _self, **_: dict(published)})()
    monkeypatch.setattr(torchvision.models, "get_model_weights", lambda _: {"IMAGENET1K_V1": entry})
    model = built("vit_b_16")
    ModelSpec(architecture="vit_b_16").load_initial_weights(model, 64)
    own = model.backbone.encoder.pos_embedding
    theirs = published["encoder.pos_embedding"]
    assert torch.equal(own[:, 0], theirs[:, 0])
    grid = theirs[0, 1:].T.reshape(1, -1, 14, 14)
    expected = F.interpolate(grid, size=4, mode="bicubic", align_corners=True)
    torch.testing.assert_close(own[0, 1:], expected[0].flatten(start_dim=1).T)


def test_resnets_for_small_images_keep_their_places_and_have_the_known_number_of_weights():
    """11 173 962 with ten classes is what papers on CIFAR-10 give for ResNet-18."""
    model = built("resnet18_cifar", classes=10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_173_962
    with record_stages(model) as stages:
        model(torch.rand(2, 3, 32, 32))
    assert {name: tuple(stage.shape[1:]) for name, stage in stages.items()} == {
        "conv2_x": (64, 32, 32),
        "conv3_x": (128, 16, 16),
        "conv4_x": (256, 8, 8),
        "conv5_x": (512, 4, 4),
    }
