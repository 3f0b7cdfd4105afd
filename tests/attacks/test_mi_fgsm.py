"""MI-FGSM and what is made of it: against an independent library, closed forms on linear networks, and SciPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchattacks
from scipy.signal import convolve2d
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import ATTACKS, BSR, MIFGSM, NIFGSM, PGD, SIFGSM, TIFGSM, VMIFGSM, attack_class
from atlpa.attacks.translation_invariance import smoothed
from atlpa.evaluation import evaluate
from atlpa.randomness import generator

NAMES = [name for name in ATTACKS.built_in if issubclass(attack_class(name), MIFGSM)]
EVERYTHING = NIFGSM(0.1, 0.2, 3, kernel=3, scales=2, neighbors=2, copies=2, diversity=0.7)
SMALL = {"ti_fgsm": {"kernel": 5}, "vmi_fgsm": {"neighbors": 3}, "bsr": {"copies": 3}}
VARIANTS = [attack_class(name)(0.1, 0.2, 3, **SMALL.get(name, {})) for name in NAMES] + [EVERYTHING]
each = pytest.mark.parametrize("attack", VARIANTS, ids=[*NAMES, "everything"])


def generators(places):
    return [generator(0, "test", number) for number in places]


def linear(classes=5, side=16):
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, classes)).double()


def slope(model, points, labels):
    """The input gradient of the cross-entropy of a linear model, in closed form: Wᵀ(softmax − one-hot)."""
    weight = model[1].weight.detach()
    error = model(points).detach().softmax(dim=1) - F.one_hot(labels, weight.shape[0])
    return (error @ weight).view_as(points)


def test_the_names_are_those_of_the_field():
    assert NAMES == ["mi_fgsm", "ni_fgsm", "ti_fgsm", "si_fgsm", "di_fgsm", "vmi_fgsm", "bsr"]


@pytest.mark.parametrize("fields", [{"momentum": 0.0}, {"momentum": 0.9}, {"momentum": 1.0, "diversity": 0.6}])
def test_with_nothing_more_it_is_pgd_bit_for_bit(small_cnn, images, labels, fields):
    ours = MIFGSM(0.1, 0.15, 6, **fields)(small_cnn, images, labels, generator=generators(range(12)))
    plain = PGD(0.1, 0.15 * 0.1, 6, **fields)(small_cnn, images, labels, generator=generators(range(12)))
    assert torch.equal(ours, plain)
    assert not torch.equal(ours, images)


@pytest.mark.parametrize(
    ("ours", "theirs", "fields"),
    [
        (MIFGSM, torchattacks.MIFGSM, {}),
        (NIFGSM, torchattacks.NIFGSM, {}),
        (replace(NIFGSM(), scales=5), torchattacks.SINIFGSM, {"m": 5}),
        (replace(NIFGSM(), scales=3), torchattacks.SINIFGSM, {"m": 3}),
    ],
)
def test_equals_torchattacks(small_cnn, images, labels, ours, theirs, fields):
    model, given = small_cnn.eval(), ours() if isinstance(ours, type) else ours
    expected = theirs(model, eps=0.1, alpha=0.02, steps=8, decay=0.9, **fields)(images, labels)
    found = replace(given, epsilon=0.1, alpha=0.2, iterations=8, momentum=0.9)(model, images, labels)
    torch.testing.assert_close(found, expected.to(found.dtype), atol=1e-6, rtol=0)


def test_ti_equals_torchattacks(small_cnn, images, labels):
    """Its kernel is float32, so that the few pixels whose gradient nearly cancels may differ by a step."""
    model, images = small_cnn.float().eval(), images.float()
    theirs = torchattacks.TIFGSM(model, eps=0.1, alpha=0.02, steps=6, decay=1.0, len_kernel=7, diversity_prob=0.0)
    ours = TIFGSM(0.1, 0.2, 6, kernel=7)(model, images, labels)
    assert ((ours - theirs(images, labels)).abs() < 1e-6).float().mean() > 0.999
    assert not torch.allclose(ours, MIFGSM(0.1, 0.2, 6)(model, images, labels))


@pytest.mark.parametrize("kernel", [1, 3, 15])
def test_smoothing_is_scipys_convolution_with_a_gaussian(kernel):
    """Of 15 pixels three deviations reach to the rim, so that one is 7/3 pixels; a kernel as large as the image too."""
    gradient = torch.randn(2, 3, 15, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rim = kernel // 2
    away = torch.arange(-rim, rim + 1, dtype=torch.float64)
    bell = torch.exp(-0.5 * (away * 3 / max(rim, 1)) ** 2)
    window = (bell[:, None] * bell / bell.sum() ** 2).numpy()
    channels = [convolve2d(channel, window, mode="same") for channel in gradient.numpy().reshape(6, 15, 64)]
    torch.testing.assert_close(
        smoothed(gradient, kernel), torch.from_numpy(np.stack(channels)).view_as(gradient), atol=1e-12, rtol=0
    )


def test_the_first_steps_on_a_linear_model_are_those_of_the_closed_forms(images, labels):
    """One step follows the sign of: the slope (MI and NI alike); its convolution (TI); the mean of scaled ones (SI)."""
    model, epsilon = linear(), 0.1
    own = slope(model, images, labels)
    scaled = sum(slope(model, images / 2**power, labels) / 2**power for power in range(5)) / 5
    for kind, wanted in ((MIFGSM, own), (NIFGSM, own), (TIFGSM, smoothed(own, 15)), (SIFGSM, scaled)):
        found = kind(epsilon, 1.0, 1)(model, images, labels)
        torch.testing.assert_close(found, (images + epsilon * wanted.sign()).clamp(0, 1), atol=1e-12, rtol=0)
    assert (own.sign() != scaled.sign()).any()


def test_where_the_gradient_is_constant_looking_ahead_and_around_finds_nothing_new(images):
    """The margin of two classes of a linear model: NI and VMI are MI."""
    model, labels = linear(classes=2), torch.arange(12) % 2
    fields = {"epsilon": 0.1, "alpha": 0.3, "iterations": 5, "loss": "margin"}
    expected = MIFGSM(**fields)(model, images, labels)
    torch.testing.assert_close(NIFGSM(**fields)(model, images, labels), expected, atol=1e-12, rtol=0)
    found = VMIFGSM(**fields, neighbors=4)(model, images, labels, generator=generators(range(12)))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


class Watched(nn.Module):
    """A smooth network that remembers what it was shown."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 6, 5), nn.Softplus(5), nn.Flatten(), nn.Linear(6 * 144, 5)).double()
        self.seen = []

    def forward(self, images):
        self.seen.append(images.detach().clone())
        return self.layers(10 * images)

    def slope(self, points, labels):
        points = points.clone().requires_grad_(True)
        return torch.autograd.grad(F.cross_entropy(self.layers(10 * points), labels, reduction="sum"), points)[0]


@pytest.mark.parametrize("kind", [VMIFGSM, NIFGSM])
def test_variance_tuning_is_the_papers(images, labels, kind):
    """The second step adds the mean slope of the neighbors of the first point, less its own: Wang & He 2021, Eq. 8."""
    model = Watched()
    attack = kind(0.1, 0.3, 2, neighbors=6, beta=2.0, momentum=0.5)
    first, second = attack.iterates(model, images, labels, generator=generators(range(12)))
    point, *around, ahead = model.seen
    assert torch.equal(point, images)
    away = torch.stack([near - point for near in around])
    assert away.shape[0] == 6
    assert 0.19 < away.abs().max() <= 0.2
    assert away.mean().abs() < 0.005
    own = model.slope(point, labels)
    variance = sum(model.slope(near, labels) for near in around) / 6 - own

    def unit(gradient):
        return gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True)

    torch.testing.assert_close(first, (images + 0.03 * own.sign()).clamp(0, 1), atol=1e-12, rtol=0)
    expected = first + 0.03 * 0.5 * unit(own) if kind is NIFGSM else first
    torch.testing.assert_close(ahead, expected, atol=1e-12, rtol=0)
    direction = 0.5 * unit(own) + unit(model.slope(ahead, labels) + variance)
    expected = (first + 0.03 * direction.sign()).clamp(images - 0.1, images + 0.1).clamp(0, 1)
    torch.testing.assert_close(second, expected, atol=1e-12, rtol=0)
    assert (direction.sign() != (0.5 * unit(own) + unit(model.slope(ahead, labels))).sign()).any()


def test_one_whole_block_that_is_not_turned_is_the_image(small_cnn, images, labels):
    plain = MIFGSM(0.1, 0.2, 4)(small_cnn, images, labels)
    found = BSR(0.1, 0.2, 4, copies=2, blocks=1, rotation=0)(small_cnn, images, labels, generator=generators(range(12)))
    torch.testing.assert_close(found, plain, atol=1e-9, rtol=0)


@each
def test_stays_within_epsilon_and_the_pixel_range(small_cnn, images, labels, attack):
    images = images.round()  # many pixels at 0 and 1
    for iterate in attack.iterates(small_cnn, images, labels, generator=generators(range(12))):
        assert (iterate - images).abs().max() <= 0.1 + 1e-12
        assert iterate.min() >= 0
        assert iterate.max() <= 1
        assert not iterate.requires_grad
    assert torch.equal(replace(attack, epsilon=0.0)(small_cnn, images, labels), images)


@each
def test_an_image_does_not_notice_its_batch(small_cnn, images, labels, attack):
    whole = attack(small_cnn, images, labels, generator=generators(range(12)))
    parts = [
        attack(small_cnn, images[rows], labels[rows], generator=generators(range(12)[rows]))
        for rows in (slice(1), slice(1, 8), slice(8, 12))
    ]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-9, rtol=0)


@each
def test_one_run_serves_every_budget(small_cnn, images, labels, attack):
    """The last step takes no look around, which the next one would need."""
    longer = list(replace(attack, iterations=4).iterates(small_cnn, images, labels, generator=generators(range(12))))
    for budget in (1, 3):
        alone = replace(attack, iterations=budget)(small_cnn, images, labels, generator=generators(range(12)))
        assert torch.equal(longer[budget - 1], alone)


@each
def test_its_passes_are_those_that_it_says(images, labels, attack):
    model = Watched()
    attack(model, images, labels)
    assert len(model.seen) == attack.cost().forwards


@each
def test_draws_alone_tell_two_seeds_apart(small_cnn, images, labels, attack):
    one, other = (attack(small_cnn, images, labels, generator=generators(range(at, at + 12))) for at in (0, 50))
    assert torch.equal(one, other) == (not (attack.diversity or attack.neighbors or attack.copies))


@each
def test_white_box_an_image_stands_that_is_right_clean_and_at_the_end(small_cnn, images, labels, attack):
    model = small_cnn.eval()
    result = evaluate(model, images, labels, attack, keep_adversarial=True)
    with torch.no_grad():
        right = [model(shown).argmax(dim=1) == labels for shown in (images, result.adversarial)]
    assert torch.equal(result.robust[0, 0], right[0] & right[1])


@pytest.mark.parametrize("kind", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_off(small_cnn, images, labels, kind):
    with kind():
        inside = EVERYTHING(small_cnn, images.clone(), labels.clone(), generator=generators(range(12)))
    assert torch.equal(inside, EVERYTHING(small_cnn, images, labels, generator=generators(range(12))))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel": 14}, "kernel 14 has no middle pixel; give an odd number"),
        ({"kernel": 0}, "greater than or equal to 1"),
        ({"copies": -1}, "greater than or equal to 0"),
        ({"copies": 3, "blocks": 0}, "greater than or equal to 1"),
        ({"scales": 0}, "greater than or equal to 1"),
        ({"nesterov": True, "momentum": 0.0}, "looks ahead along the momentum, which is 0"),
        ({"beta": 2.0}, "neighbors are, of which there are 0; give neighbors too"),
        ({"rotation": 0}, "shuffled copies, of which there are 0; give copies too"),
        ({"blocks": 2}, "give copies too"),
        ({"neighbours": 3}, "did you mean 'neighbors'"),
    ],
)
def test_senseless_settings(fields, message):
    with pytest.raises(ValueError, match=message):
        MIFGSM(**fields)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (TIFGSM(kernel=17), "images of 16 pixels a side; ti_fgsm as it is set needs at least 17"),
        (BSR(blocks=20), "images of 16 pixels a side; bsr as it is set needs at least 20"),
    ],
)
def test_images_that_are_too_small(small_cnn, images, labels, attack, message):
    with pytest.raises(ValueError, match=message):
        attack(small_cnn, images, labels)
    with pytest.raises(ValueError, match=f"the model has {message}"):
        evaluate(small_cnn, images, labels, attack)
