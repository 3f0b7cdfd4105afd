"""Augmentation: torchvision's own transforms, a pure function of (seed, step), and what becomes of labels and masks."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from atlpa.data import Augmentation, Batches, Mix, ResizedCrop
from atlpa.data.augmentation import DrawnFrom, trivially_augmented
from atlpa.data.images import InMemory
from atlpa.data.masks import INSIDE, OUTSIDE, UNKNOWN
from atlpa.errors import UserError
from atlpa.experiment import load
from atlpa.randomness import generator

CPU = torch.device("cpu")
CLASSES = 10
EVERYTHING = Augmentation(
    resized_crop=ResizedCrop(scale=(0.25, 1)), trivial_augment=True, mix=Mix(method="cutmix", alpha=1)
)


@pytest.fixture
def images():
    pixels = torch.randint(256, (30, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return InMemory(pixels, torch.arange(30) % CLASSES)


@pytest.fixture
def flat():
    """Ten images of one shade each, by which a pixel tells its image."""
    shades = torch.arange(0, 250, 25, dtype=torch.uint8)
    return InMemory(shades[:, None, None, None].expand(10, 3, 20, 20).contiguous(), torch.arange(10))


def batches(images, augmentation, batch_size=12, size=16, seed=0, rows=None, extra=None):
    how = {"augmentation": augmentation, "classes": CLASSES, "extra": extra}
    return Batches(images, batch_size, size, True, seed, CPU, rows, **how)


def as_torchvision_draws(seed, transform, *given):
    """A transform as it comes, drawing from torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transform(*given)


def sources(count, offset=0):
    return [torch.Generator().manual_seed(offset + number) for number in range(count)]


def test_a_resized_crop_is_torchvisions(images):
    crop = ResizedCrop(scale=(0.1, 0.9), ratio=(0.5, 2))
    theirs = v2.RandomResizedCrop(16, scale=(0.1, 0.9), ratio=(0.5, 2))
    for number, ours in enumerate(crop(images.pixels, 16, sources(30))):
        assert torch.equal(ours, as_torchvision_draws(number, theirs, images.pixels[number]))


def test_trivial_augment_is_torchvisions(images):
    pixels, theirs = images.pixels.repeat(10, 1, 1, 1), v2.TrivialAugmentWide()  # each of its 14 changes, many times
    for number, ours in enumerate(trivially_augmented(pixels, sources(300))):
        assert torch.equal(ours, as_torchvision_draws(number, theirs, pixels[number]))


@pytest.mark.parametrize(("method", "kind"), [("cutmix", v2.CutMix), ("mixup", v2.MixUp)])
def test_mixing_is_torchvisions(images, method, kind):
    batch = images.pixels.float() / 255
    for seed in range(30):
        source = torch.Generator().manual_seed(seed)
        ours = Mix(method=method, alpha=0.7)(batch, images.labels, CLASSES, source)
        theirs = as_torchvision_draws(seed, kind(alpha=0.7, num_classes=CLASSES), batch, images.labels)
        torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=1e-6)
        assert torch.equal(ours[1], theirs[1])


def test_no_global_generator_is_touched_while_batches_are_made(images):
    """Training draws from them in another thread."""
    made = [batches(images, Augmentation(trivial_augment=True, resized_crop=ResizedCrop(), mix=Mix(method=method)))
            for method in ("cutmix", "mixup")]  # fmt: skip
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    for step in range(20):
        for some in made:
            some.at(step)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]


def test_draws_of_one_thread_leave_another_thread_alone():
    """Each draws as if it were alone, though one draws while the other's source is in place."""
    source = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]), ThreadPoolExecutor(1) as other:
        torch.manual_seed(2)
        with DrawnFrom(source):
            mine = [torch.rand(3), torch.randint(9, (3,))]
            theirs = other.submit(torch.rand, 3).result()
            mine.append(torch.empty(3).uniform_())
        torch.manual_seed(2)
        assert torch.equal(theirs, torch.rand(3))
    source.manual_seed(1)
    again = [torch.rand(3, generator=source), torch.randint(9, (3,), generator=source)]
    again.append(torch.empty(3).uniform_(generator=source))
    assert all(torch.equal(one, other) for one, other in zip(mine, again, strict=True))


@pytest.mark.parametrize("extra", [False, True])
def test_a_batch_depends_on_seed_and_step_alone(images, flat, extra):
    def made(seed=0):
        return batches(images, EVERYTHING, seed=seed, extra=(flat, 5) if extra else None)

    straight = [made().at(step) for step in range(6)]
    ahead = list(made().from_step(2, 6))
    for step in (5, 0, 3):
        again = made().at(step)
        assert all(torch.equal(*pair) for pair in zip(again, straight[step], strict=True))
    for pair in zip(ahead, straight[2:], strict=True):
        assert all(torch.equal(*tensors) for tensors in zip(*pair, strict=True))
    assert not torch.equal(made(seed=1).at(0)[0], straight[0][0])
    assert not torch.equal(straight[0][0], straight[1][0])


@pytest.mark.parametrize("count", [2, 3, 12])
@pytest.mark.parametrize("extra", [None, 1, 5])
@pytest.mark.parametrize("augmentation", [EVERYTHING, Augmentation(mix=Mix(method="mixup", alpha=0.2))])
def test_what_processes_have_of_a_batch_is_the_batch(images, flat, augmentation, extra, count):
    def made(rows=None):
        return batches(images, augmentation, rows=rows, extra=extra and (flat, extra)).at(4)

    parts = [made(range(first, first + 12 // count)) for first in range(0, 12, 12 // count)]
    for number, whole in enumerate(made()):
        assert torch.equal(torch.cat([part[number] for part in parts]), whole)


def test_each_image_has_a_draw_of_its_own():
    """The same image in every row comes out in as many ways."""
    pixels = torch.randint(256, (1, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    same = InMemory(pixels.repeat(12, 1, 1, 1), torch.zeros(12, dtype=torch.int64))
    shown, _ = batches(same, Augmentation(resized_crop=ResizedCrop(scale=(0.1, 0.5)))).at(0)
    assert len({image.numpy().tobytes() for image in shown}) == 12


@pytest.mark.parametrize("method", ["cutmix", "mixup"])
@pytest.mark.parametrize("alpha", [0.01, 0.2, 1, 100])
def test_images_and_shares_of_mixed_batches(flat, method, alpha):
    """Shares sum to 1 and say how much of which image is in each, to the pixel."""
    values = flat.pixels[:, 0, 0, 0].float() / 255
    for step in range(15):
        shown, shares = batches(flat, Augmentation(mix=Mix(method=method, alpha=alpha)), batch_size=10).at(step)
        assert shares.dtype == torch.float32
        assert shares.shape == (10, CLASSES)
        assert shown.min() >= 0
        assert shown.max() <= 1
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(10))
        # The shade of a mixed image is the mean of its images' by their shares; a box leaves each pixel its own.
        torch.testing.assert_close(shown.mean(dim=(1, 2, 3)), shares @ values, rtol=1e-4, atol=1e-5)
        for image, share in zip(shown, shares, strict=True):
            kept = share.nonzero().flatten().tolist()
            assert 1 <= len(kept) <= 2
            if method == "cutmix":
                areas = [(torch.isclose(image[0], values[label])).float().mean().item() for label in kept]
                assert areas == pytest.approx(share[kept].tolist(), abs=1e-6)


def test_white_stays_white():
    """Attacks take nothing above 1: in float32, λ + (1 − λ) must not be more."""
    white, labels = torch.ones(2, 3, 4, 4), torch.tensor([0, 1])
    for source in sources(200):
        assert Mix(method="mixup")(white, labels, 2, source)[0].max() <= 1


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_follow_the_beta_distribution(flat, alpha):
    made = batches(flat, Augmentation(mix=Mix(method="mixup", alpha=alpha)), batch_size=2)
    drawn = []
    for step in range(400):
        shares, labels = made.at(step)[1], batches(flat, None, batch_size=2).at(step)[1]
        drawn.append(shares[0, labels[0]].item())
    assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_a_masks_window_is_its_images(images):
    """An image that shows its own mask still does after cropping, but for the edges, which only the image blurs."""
    blocks = torch.tensor([OUTSIDE, INSIDE, UNKNOWN], dtype=torch.uint8)[
        torch.randint(3, (30, 5, 5), generator=torch.Generator().manual_seed(3))
    ]
    masks = blocks.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    pictures = InMemory((255 * (masks == INSIDE).byte())[:, None].repeat(1, 3, 1, 1), torch.arange(30))
    made = batches(pictures, Augmentation(resized_crop=ResizedCrop(scale=(0.2, 1))), size=32)
    for step in range(5):
        shown, regions = made.at(step)[0][:, 0], made.masks_at(step, masks)
        assert set(regions.unique().tolist()) == {OUTSIDE, INSIDE, UNKNOWN}
        clear = (shown == 0) | (shown == 1)
        assert clear.float().mean() > 0.7
        assert torch.equal(shown[clear] == 1, regions[clear] == INSIDE)


@pytest.mark.parametrize("augmentation", [Augmentation(trivial_augment=True), Augmentation(mix=Mix(method="mixup"))])
def test_masks_that_cannot_follow_are_refused(images, augmentation):
    with pytest.raises(ValueError, match="key regions do not follow TrivialAugment or mixed images; leave both out"):
        batches(images, augmentation).masks_at(0, torch.zeros(30, 20, 20, dtype=torch.uint8))


def test_extra_images_have_their_share_and_an_order_of_their_own(images, flat):
    """Each epoch of either set shows each of its images once, whatever the batch."""
    further = InMemory(flat.pixels, torch.arange(100, 110))
    labels = torch.stack([batches(images, None, extra=(further, 5)).at(step)[1] for step in range(60)])
    extra = labels >= 100
    assert (extra.sum(dim=1) == 5).all()
    assert ((extra[:, :6].sum(dim=1) - 2.5).abs() <= 0.5).all()  # half of them in each half of the batch
    epochs = labels[extra].view(30, 10)
    assert all(sorted(epoch.tolist()) == list(range(100, 110)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) > 1
    for epoch in labels[~extra].view(14, 30):
        assert Counter(epoch.tolist()) == dict.fromkeys(range(10), 3)


def test_extra_images_stay_with_their_labels_and_have_no_key_region(images, flat):
    shades = flat.pixels[:, 0, 0, 0]
    further = InMemory(flat.pixels, torch.arange(100, 110))
    made = batches(images, None, extra=(further, 3))
    shown, labels = made.at(2)
    regions = made.masks_at(2, torch.ones(30, 20, 20, dtype=torch.uint8))
    for image, label, region in zip((shown * 255).round().byte(), labels.tolist(), regions, strict=True):
        assert (region == (UNKNOWN if label >= 100 else 1)).all()
        if label >= 100:
            assert (image == shades[label - 100]).all()


def test_mixing_needs_the_number_of_classes(images):
    with pytest.raises(ValueError, match="give classes, their number"):
        Batches(images, 4, 16, True, 0, CPU, augmentation=Augmentation(mix=Mix(method="mixup")))


def test_what_is_drawn_for_one_change_does_not_depend_on_the_others(images):
    """Switched on beside it, a crop takes nothing from the mirror or the mix."""
    alone = batches(images, Augmentation(mix=Mix(method="mixup"))).at(3)[1]
    beside = batches(images, EVERYTHING).at(3)[1]
    share = generator(0, "mix", 3)
    again = Mix(method="mixup")(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]), 2, share)[1]
    assert alone[alone > 0].unique().tolist() == pytest.approx(sorted(again[0].tolist()))
    assert torch.equal(alone > 0, beside > 0)


def test_nothing_and_null_are_what_was_before():
    before = load("digits")
    assert load("digits", [("data.augmentation", None)]) == before
    assert load("digits", [("data.augmentation", {})]).identity() == before.identity()
    assert before.data.augmentation == Augmentation()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("data.augmentation.scale", [0.2, 1])], r"data\.augmentation: unknown key 'scale'"),
        ([("data.augmentation.resized_crop.scale", [0.5, 0.2])], "scale from 0.5 to 0.2; give the smaller one first"),
        ([("data.augmentation.resized_crop.ratio", [2, 0.5])], "ratio from 2 to 0.5; give the smaller one first"),
        ([("data.augmentation.resized_crop.scale", [0, 1])], r"scale\.0: .*greater than 0"),
        ([("data.augmentation.resized_crop.scale", [0.2, 1.5])], r"scale\.1: .*less than or equal to 1"),
        ([("data.augmentation.resized_crop.scale", [0.2])], "scale"),
        ([("data.augmentation.mix.alpha", 0.5)], r"data\.augmentation\.mix\.method: .*required"),
        ([("data.augmentation.mix.method", "cutmx")], r"mix\.method: .*'cutmix' or 'mixup'"),
        ([("data.augmentation.mix", {"method": "mixup", "alpha": 0})], r"mix\.alpha: .*greater than or equal to 0\.01"),
        ([("data.augmentation.trivial_augment", "wide")], r"trivial_augment: .*boolean"),
    ],
)
def test_options_that_would_be_ignored_or_mean_nothing_are_refused(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        load("digits", changes)
    assert "\n" not in str(caught.value)
