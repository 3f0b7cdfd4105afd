"""What an attack's gradients are computed on: the same function as the model's, or the model."""

import copy
import logging
import random

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import PGD
from atlpa.defenses import Defense, load_preset, preset_names
from atlpa.engine import Frozen, prepare, supported_precision
from atlpa.model_state import eval_mode, with_generators
from atlpa.models import Averaged, ModelSpec
from atlpa.randomness import generator

CLASSES = 7


def pictures(batch=6, side=48):
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(3))


def lived_in(model, side=48):
    """A network whose BatchNorm has statistics and weights of its own, left in training mode."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.8)
            nn.init.normal_(module.bias, std=0.1)
            module.momentum = 1.0
    with torch.no_grad(), with_generators(model, generator(0, "test")):
        model.train()(pictures(16, side))
    return model


def defended(name, architecture="resnet18"):
    return lived_in(Defense(**load_preset(name).fields).build(ModelSpec(architecture=architecture), CLASSES, 0))


def answer(model, images, labels):
    """Logits and input gradients of the cross-entropy, in evaluation mode, with the same draws each time."""
    with eval_mode(model), with_generators(model, generator(0, "draws")):
        point = images.clone().requires_grad_(True)
        logits = model(point)
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), point)
    return logits.detach(), gradient


def close(found, expected, tolerance):
    return (found - expected).norm() <= tolerance * expected.norm()


def same_answer(found, expected):
    """Logits agree to rounding on every image, and gradients on some.

    A ReLU whose input is zero up to rounding may open or stay shut: that image's gradient then differs by up to some
    hundredths, between the plain loop in float32 and in float64 as well, and on other images with another processor. In
    ResNet-50 that befalls half of the images. Wrong code would be wrong on all of them.
    """
    (logits, gradient), (found_logits, found_gradient) = expected, found
    apart = (found_gradient - gradient).flatten(1).norm(dim=1) / gradient.flatten(1).norm(dim=1)
    assert (found_logits - logits).norm() <= 1e-4 * logits.norm()
    assert sum(apart < 1e-5) >= 2, apart
    assert apart.max() < 0.1, apart
    return True


def same_images(found, expected):
    """Most images agree but for the sign of next to nothing; the others may have met such a ReLU on the way."""
    differing = ((found - expected).abs() > 1e-5).flatten(1).float().mean(dim=1)
    return differing.median() < 0.01 and differing.max() < 0.5


needs_bfloat16 = pytest.mark.skipif(
    supported_precision("bf16", torch.device("cpu")) == "fp32", reason="this processor has no instructions for bfloat16"
)
MANY = 1000  # passes: enough for any preparation
LABELS = torch.arange(6) % CLASSES


@pytest.mark.parametrize("name", preset_names())
def test_a_copy_of_every_defense_agrees(name):
    model, images = defended(name), pictures()
    network = prepare(model, images, "auto", "fp32", MANY)
    assert isinstance(network, Frozen)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == 0
    assert same_answer(answer(network, images, LABELS), answer(model, images, LABELS))


@pytest.mark.parametrize("name", preset_names())
def test_the_attack_is_the_reference_attack_on_every_defense(name):
    model, images = defended(name), pictures()
    attack = PGD(epsilon=0.05, step=0.01, iterations=2, engine="reference")
    fast, reference = (
        attack(network, images, LABELS, generator=generator(0, "attack"))
        for network in (prepare(model, images, "auto", "fp32", MANY), model)
    )
    assert same_images(fast, reference)
    assert not torch.equal(reference, images)


@pytest.mark.parametrize(
    "build",
    [
        lambda: torchvision.models.resnet50(num_classes=CLASSES),
        lambda: torchvision.models.resnext50_32x4d(num_classes=CLASSES),
        lambda: torchvision.models.vgg11_bn(num_classes=CLASSES),
        lambda: torchvision.models.densenet121(num_classes=CLASSES),
        lambda: torchvision.models.mobilenet_v2(num_classes=CLASSES),
        lambda: torchvision.models.googlenet(num_classes=CLASSES, init_weights=False),
    ],
    ids=["resnet50", "resnext50", "vgg11_bn", "densenet121", "mobilenet_v2", "googlenet"],
)
def test_other_peoples_networks(build):
    torch.manual_seed(0)
    model = build().eval()
    images = pictures(6, 64)
    network = prepare(model, images, "auto", "fp32", MANY)
    assert isinstance(network, Frozen)
    assert same_answer(answer(network, images, LABELS), answer(model, images, LABELS))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mobilenetv3_small_050", {}),
        ("convnext_atto", {}),
        ("efficientnet_b0", {}),
        ("seresnet18", {}),
        ("vit_tiny_patch16_224", {"img_size": 64, "depth": 2}),
        ("edgenext_xx_small", {}),
    ],
)
def test_timms_networks(name, options, caplog):
    """Copies that do not give way on the first step; others fill the page on performance."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model, images = timm.create_model(name, num_classes=CLASSES, **options).eval(), pictures(6, 64)
    network = prepare(model, images, "auto", "fp32", MANY)
    assert isinstance(network, Frozen)
    assert same_answer(answer(network, images, LABELS), answer(model, images, LABELS))
    assert "gives way" not in caplog.text
    assert not network.gave_up


@pytest.mark.parametrize("side", [2, 12, 48])
@pytest.mark.parametrize("layer", [nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.ReLU6], ids=lambda layer: layer.__name__)
def test_what_follows_may_work_in_place(layer, side):
    """On small maps a convolution is a matrix product, whose output is a view."""
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)]
    model = nn.Sequential(
        convolutions[0],
        layer(inplace=True),
        convolutions[1],
        layer(inplace=True),
        nn.Flatten(),
        nn.Linear(8 * side**2, 7),
    ).eval()
    images = pictures(6, side)
    network = prepare(model, images, "auto", "fp32", MANY)
    assert isinstance(network, Frozen)
    for found, expected in zip(answer(network, images, LABELS), answer(model, images, LABELS), strict=True):
        assert close(found, expected, 1e-5)
    assert not network.gave_up


class Readers(nn.Module):
    """One map ``x`` that is read in the way of ``paths``: its four convolutions and it to a map."""

    def __init__(self, paths):
        super().__init__()
        layers = {"a": (3, 1), "b": (3, 1), "small": (1, 2), "large": (3, 2)}
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        for name, (size, stride) in layers.items():
            self.add_module(name, nn.Conv2d(8, 8, size, stride, size // 2))
        self.paths, self.head = paths, nn.Conv2d(8, CLASSES, 1)

    def forward(self, images):
        return self.head(self.paths(self, self.stem(images).relu())).mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("paths", "shared"),
    [
        (lambda m, x: (m.b(m.a(x).relu()) + x).relu(), 1),  # an identity block
        (lambda m, x: (m.b(m.large(x).relu()) + m.small(x)).relu(), 1),  # a block with a shortcut that strides
        (lambda m, x: (m.large(m.b(x).relu()) + m.small(x)).relu(), 1),
        (lambda m, x: m.small(x).relu() + m.large(x).relu(), 1),  # a sum gives both sides the same gradient
        (lambda m, x: (m.a(x) + x).relu(), 0),  # read twice by the same
        (lambda m, x: (m.a(x).relu() + m.b(x).relu()) * x, 0),  # read by something else as well
        (lambda m, x: (m.b((m.a(x) + x).relu()) + x).relu(), 0),  # read by two, one of them twice
        (lambda m, x: m.a(x).relu() + m.b(x).relu() + m.b(m.a(x).relu()).relu(), 0),  # read by three
        (lambda m, x: (m.b(y := m.a(x).relu()) + y).relu() + m.a(y), 0),
    ],
)
def test_gradients_of_what_is_read_twice_add_up(paths, shared):
    torch.manual_seed(0)
    model = Readers(paths).eval()
    network = prepare(model, pictures(), "auto", "fp32", MANY)
    assert isinstance(network, Frozen)
    assert sum(part.shares for part in network.fused) == shared
    for _ in range(2):
        for found, expected in zip(answer(network, pictures(), LABELS), answer(model, pictures(), LABELS), strict=True):
            assert close(found, expected, 1e-5)


def test_mean_of_draws():
    model = Averaged(defended("rat"), 3)
    network = prepare(model, pictures(), "auto", "fp32", MANY)
    assert isinstance(network, Frozen)
    assert same_answer(answer(network, pictures(), LABELS), answer(model, pictures(), LABELS))


def test_the_model_is_left_as_found_and_its_later_weights_are_used():
    model, images = defended("pat"), pictures()
    model.backbone.layer1.eval()
    next(model.parameters()).requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    random_state = torch.get_rng_state()
    attack = PGD(epsilon=0.05, step=0.01, iterations=20)
    first = attack(model, images, LABELS)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data.mul_(torch.rand_like(parameter) + 0.5)
    assert not same_images(attack(model, images, LABELS), first)
    found, expected = (
        answer(network, images, LABELS) for network in (prepare(model, images, "auto", "fp32", MANY), model)
    )
    assert same_answer(found, expected)


def test_a_copy_takes_over_new_weights():
    model, images = defended("fd"), pictures()
    network, before = Frozen(model), answer(model, images, LABELS)[0]
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.copy_(tensor * 1.2)
    network.refresh()
    assert close(answer(network, images, LABELS)[0], answer(model, images, LABELS)[0], 1e-5)
    assert not close(before, answer(model, images, LABELS)[0], 0.1)


class Wrapped(nn.Module):
    """A network inside of code that tracing cannot see or must not bake in."""

    def __init__(self, before):
        super().__init__()
        self.before, self.network = before, lived_in(ModelSpec(architecture="resnet18").build(CLASSES, 0)).eval()

    def forward(self, images):
        return self.network(self.before(images))


def without_gradient(images):
    with torch.no_grad():
        return images * 1.0


def by_the_brightness(images):
    return images if images.mean() > 0.5 else 1 - images


OPAQUE = {
    "a gradient that is cut off": without_gradient,
    "a path that depends on the images": by_the_brightness,
    "dice of Python": lambda images: images + random.random(),
    "dice that tracing would throw once": lambda images: images + torch.rand(()),
}


@pytest.mark.parametrize("before", OPAQUE.values(), ids=OPAQUE)
def test_what_cannot_be_copied_runs_as_it_is(before, caplog):
    model = Wrapped(before)
    with caplog.at_level(logging.DEBUG, logger="atlpa.engine"):
        assert prepare(model, pictures(), "auto", "fp32", MANY) is model
    assert "Wrapped runs as it is" in caplog.text


class WithFeatures(Wrapped):
    """The kind of option that research code has."""

    def forward(self, images, features=False, scale=None):
        if features:
            return images
        logits = self.network(images)
        return logits if scale is None else logits * scale


def test_options_of_forward_keep_their_defaults():
    model = WithFeatures(None)
    network = prepare(model, pictures(), "auto", "fp32", MANY)
    assert isinstance(network, Frozen)
    assert same_answer(answer(network, pictures(), LABELS), answer(model, pictures(), LABELS))


def test_the_callers_autocast_is_respected():
    model = defended("none")
    with torch.autocast("cpu", torch.bfloat16):
        assert prepare(model, pictures(), "auto", "fp32", MANY) is model
    assert isinstance(prepare(model, pictures(), "auto", "fp32", MANY), Frozen)


def test_a_model_may_become_one_that_cannot_be_copied():
    model = Wrapped(lambda images: images)
    assert isinstance(prepare(model, pictures(), "auto", "fp32", MANY), Frozen)
    model.before = by_the_brightness
    assert prepare(model, pictures(), "auto", "fp32", MANY) is model


def test_hooks_are_called():
    model = defended("none")
    model.backbone.layer1.register_forward_hook(lambda *arguments: arguments[2] * 0)
    assert prepare(model, pictures(), "auto", "fp32", MANY) is model


def test_other_types_and_callables_run_as_they_are():
    double = defended("none").double()
    assert prepare(double, pictures().double(), "auto", "fp32", MANY) is double
    assert prepare(len, pictures(), "auto", "fp32", MANY) is len
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 48, 3))
    assert prepare(flat, pictures(), "auto", "fp32", MANY) is flat


def test_the_reference_is_the_model():
    model = defended("none")
    assert prepare(model, pictures(), "reference", "fp32", MANY) is model


@needs_bfloat16
@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("name", preset_names())
def test_half_precision_gives_float32_and_nearly_the_same(name, engine):
    model, images = defended(name), pictures()
    network = prepare(model, images, engine, "bf16", MANY)
    with torch.no_grad(), eval_mode(model), with_generators(model, generator(0, "draws")):
        logits = network(images)
    assert logits.dtype == torch.float32
    expected = answer(model, images, LABELS)[0]
    assert close(logits, expected, 0.25)
    assert not torch.equal(logits, expected)


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_half_precision_leaves_the_model_as_found(engine):
    """Evaluation mode and draws reach a model that is not copied."""
    model, images = defended("rat"), pictures()
    before = copy.deepcopy(model.state_dict())
    attack = PGD(epsilon=0.05, step=0.01, iterations=2, precision="bf16", engine=engine)
    in_training = attack(model, images, LABELS, generator=generator(0, "attack"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    in_evaluation = attack(model.eval(), images, LABELS, generator=generator(0, "attack"))
    assert torch.equal(in_training, in_evaluation)


def test_half_precision_stays_within_the_ball():
    model, images = defended("pat"), pictures()
    adversarial = PGD(epsilon=0.03, step=0.01, iterations=5, precision="bf16")(model, images, LABELS)
    assert adversarial.dtype == torch.float32
    assert (adversarial - images).abs().max() <= 0.03 + 1e-6
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1


def test_what_was_made_ready_may_be_handed_in_again():
    model = defended("none")
    for precision in ("fp32", "bf16"):
        network = prepare(model, pictures(), "auto", precision, MANY)
        assert prepare(network, pictures(), "auto", precision, MANY) is network


def test_inside_inference_mode():
    model = defended("none")
    with torch.inference_mode():
        images = pictures()
        adversarial = PGD(epsilon=0.05, step=0.05, iterations=20)(model, images, LABELS)
    assert not torch.equal(adversarial, images)


def test_little_work_takes_the_model_itself():
    """A training step's two iterations on sixteen small images would not pay for the copy."""
    model = defended("none")
    assert prepare(model, pictures(16, 32), "auto", "fp32", 2) is model
    assert isinstance(prepare(model, pictures(16, 32), "auto", "fp32", 10), Frozen)
