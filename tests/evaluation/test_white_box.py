"""White-box evaluation against the plain definition, image by image."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import PGD
from atlpa.data.images import InMemory
from atlpa.evaluation import correct, transfer
from atlpa.evaluation.correctness import generators
from atlpa.evaluation.white_box import white_box

BUDGETS = (2, 5, 12)


class Doubled(nn.Module):
    """A float64 network that takes the float32 images of the data."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.BatchNorm2d(6),
            nn.Softplus(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(54, 3),
        ).double()

    def forward(self, images):
        return self.layers(images.double())


@pytest.fixture
def data():
    """Sixty images of three classes that a network can tell apart: each has a brighter channel."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    pixels = torch.randint(40, 160, (60, 3, 10, 10), generator=draw, dtype=torch.uint8)
    pixels[torch.arange(60), labels] += torch.linspace(0, 90, 60).byte()[:, None, None]
    return InMemory(pixels, labels)


@pytest.fixture
def models(data):
    def trained(seed):
        model = Doubled(seed)
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(40):
            loss = F.cross_entropy(model(data.pixels / 255), data.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model

    return trained(0), trained(1)


def images_of(data):
    return data.pixels.float() / 255


@pytest.mark.parametrize("start", ["zero", "uniform"])
@pytest.mark.parametrize("batch_size", [7, 64])
def test_stands_if_right_clean_and_at_every_iterate_so_far(models, data, start, batch_size):
    model, _ = models
    attack = PGD(epsilon=0.1, step=0.01, iterations=12, start=start)
    outcome = white_box(model, data, attack, BUDGETS, seed=3, batch_size=batch_size)

    (clean,) = correct(model, data)
    expected, point = torch.zeros(3, 60, dtype=torch.bool), torch.zeros(60)
    for i in range(60):
        image, label = images_of(data)[i : i + 1], data.labels[i : i + 1]
        run = list(attack.iterates(model, image, label, generator=generators(3, "attack", torch.tensor([i]))))
        begin = attack.initial(image, generators(3, "attack", torch.tensor([i])))
        right = [bool(model.eval()(x).argmax() == label) for x in (begin, *run)]
        for row, budget in enumerate(BUDGETS):
            expected[row, i] = clean[i] and all(right[: budget + 1])
        fell = right.index(False) if False in right else 12
        point[i] = ([begin, *run][fell] - image).abs().max() if clean[i] else torch.nan
    assert torch.equal(outcome.clean, clean[None])
    assert torch.equal(outcome.robust, expected[:, None])
    torch.testing.assert_close(outcome.perturbation.linf[-1], point, equal_nan=True)
    standing = expected.float().mean(dim=1)
    assert 0 < standing[-1] < standing[0] < 1  # the case is worth testing


def test_only_images_that_still_stand_are_worked_on(models, data):
    model, _ = models
    attack = PGD(epsilon=0.1, step=0.01, iterations=12)
    outcome = white_box(model, data, attack, BUDGETS, batch_size=7)
    # A forward for each image that is right clean, one after each step it stood, and the one that saw it fall.
    stood = sum(white_box(model, data, replace(attack, iterations=n), (n,)).robust.sum() for n in range(1, 13))
    fell = (outcome.clean & ~outcome.robust[-1]).sum()
    assert outcome.passes == outcome.clean.sum() + stood + fell
    assert outcome.passes < 60 * 12


def test_restarts_touch_only_what_stands_and_never_help_the_model(models, data):
    model, _ = models
    attack = PGD(epsilon=0.08, step=0.04, iterations=3, start="uniform")
    once = white_box(model, data, attack, (3,))
    five = white_box(model, data, replace(attack, restarts=5), (3,))
    assert (five.robust <= once.robust).all()
    assert five.passes <= once.passes + 4 * (3 + 1) * once.robust.sum()
    with pytest.raises(ValueError, match="one budget at a time"):
        white_box(model, data, replace(attack, restarts=2), (1, 3))
    progress = []
    white_box(model, data, replace(attack, restarts=2), (3,), progress=progress.append)
    assert sum(progress) == 2 * 60 * (3 + 1)


def test_nothing_stands_for_a_model_that_is_always_wrong(data):
    model = Doubled(0)
    data.labels[:] = (verdicts_of(model, data) + 1) % 3
    progress = []
    outcome = white_box(model, data, PGD(iterations=2), (2,), progress=progress.append)
    assert sum(progress) == len(data) * (2 + 1)
    assert not outcome.clean.any()
    assert not outcome.robust.any()
    assert outcome.passes == 0
    assert outcome.budget(0).linf_max == 0


def verdicts_of(model, data):
    return model.eval()(images_of(data)).argmax(dim=1)


@pytest.mark.parametrize("start", ["zero", "uniform"])
def test_transfer_judges_each_target_on_the_last_iterate(models, data, start):
    source, target = models
    attack = PGD(epsilon=0.1, step=0.01, iterations=12, start=start)
    outcomes = transfer(source, {"target": target, "source": source}, data, attack, BUDGETS, seed=3, batch_size=7)
    run = list(
        attack.iterates(source, images_of(data), data.labels, generator=generators(3, "attack", torch.arange(60)))
    )
    for name, model in (("target", target), ("source", source)):
        expected = torch.stack([model.eval()(run[b - 1]).argmax(dim=1) == data.labels for b in BUDGETS])
        assert torch.equal(outcomes[name].robust, expected[:, None])
        assert torch.equal(outcomes[name].clean[0], model(images_of(data)).argmax(dim=1) == data.labels)
    linf = torch.stack([(run[b - 1] - images_of(data)).abs().amax(dim=(1, 2, 3)) for b in BUDGETS])
    torch.testing.assert_close(outcomes["target"].perturbation.linf, linf)


def test_what_an_attack_did_is_measured(models, data):
    """ε binds only where the steps reach it; pixels at the end of their room are counted."""
    source, _ = models
    short = transfer(source, {"t": source}, data, PGD(epsilon=0.2, step=0.01, iterations=5), (5,))["t"].budget(0)
    assert short.linf_max == pytest.approx(0.05, abs=1e-6)
    assert short.at_bound == 0
    corner = transfer(source, {"t": source}, data, PGD(epsilon=0.2, step=0.2, iterations=1), (1,))["t"].budget(0)
    assert corner.linf_mean == pytest.approx(0.2, abs=1e-6)
    assert corner.at_bound > 0.99  # all but pixels without a gradient


def test_an_attack_that_cheats_is_caught(models, data):
    class Cheat(PGD):
        def ball(self, images):
            ball = super().ball(images)
            ball.low, ball.high = images - 9, images + 9
            return ball

    with pytest.raises(ValueError, match=r"the attack pgd (moved a pixel by 0\.3|gave pixels from)"):
        transfer(models[0], {"t": models[0]}, data, Cheat(epsilon=0.2, step=0.1, iterations=3), (3,))


def test_models_are_left_as_found(models, data):
    source, target = models
    source.train()
    target.train()
    state = {name: value.clone() for name, value in target.state_dict().items()}
    transfer(source, {"t": target}, data, PGD(iterations=1), (1,))
    white_box(target, data, PGD(iterations=1), (1,))
    assert all(module.training for model in models for module in model.modules())
    assert all(parameter.requires_grad for parameter in target.parameters())
    assert all(torch.equal(value, state[name]) for name, value in target.state_dict().items())


@pytest.mark.parametrize("start", ["zero", "uniform"])
def test_budgets_of_one_run_are_separate_runs_bit_for_bit(models, data, start):
    """White-box verdicts and perturbations, and the transferred images themselves."""
    model, other = models
    attack = PGD(epsilon=0.1, step=0.01, iterations=12, start=start)
    together = (
        white_box(model, data, attack, BUDGETS, seed=3),
        transfer(model, {"o": other}, data, attack, BUDGETS)["o"],
    )
    draws = [generators(0, "attack", torch.arange(60)) for _ in range(4)]
    iterates = list(attack.iterates(model, images_of(data), data.labels, generator=draws[3]))
    for row, budget in enumerate(BUDGETS):
        shorter = replace(attack, iterations=budget)
        alone = (
            white_box(model, data, shorter, [budget], seed=3),
            transfer(model, {"o": other}, data, shorter, [budget])["o"],
        )
        for one, many in zip(alone, together, strict=True):
            assert torch.equal(one.robust[0], many.robust[row])
            torch.testing.assert_close(
                one.perturbation.linf[0], many.perturbation.linf[row], rtol=0, atol=0, equal_nan=True
            )
        made = shorter(model, images_of(data), data.labels, generator=draws[row])
        assert torch.equal(made, iterates[budget - 1])


def test_refilled_batches_in_float32_disagree_on_few_images():
    """A batch of another size rounds otherwise; over many steps of the sign that may tip an image, and rarely does.

    A quarter to three quarters of 400 images stand, so that many lie near the boundary; at most 1 % may differ.
    """
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 3
    pixels = torch.randint(40, 160, (400, 3, 10, 10), generator=draw, dtype=torch.uint8)
    pixels[torch.arange(400), labels] += torch.linspace(0, 90, 400).byte()[:, None, None]
    data = InMemory(pixels, labels)
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(144, 3)),
    )
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(30):
        loss = F.cross_entropy(model(images_of(data)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    attack = PGD(epsilon=0.1, step=0.01, iterations=30)
    refilled = white_box(model, data, attack, [30], batch_size=64).robust[0, 0]
    images, right = images_of(data), correct(model, data)[0]
    for iterate in attack.iterates(model, images, labels):
        right &= correct(model, InMemory(iterate, labels))[0]
    assert 0.25 < right.float().mean() < 0.75
    disagreeing = int((refilled != right).sum())
    assert disagreeing <= 4


@pytest.mark.parametrize("batch_size", [7, 64])
@pytest.mark.parametrize("start", ["zero", "uniform"])
def test_suspects_of_half_precision_wait_without_changing_anything(data, start, batch_size):
    """Against each image's own course: it falls at the first iterate that is wrong in both precisions."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Softplus(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(54, 3))
    with torch.no_grad():
        model[4].bias += 50  # so that bfloat16 is often mistaken
        model[4].weight += torch.eye(3).repeat_interleave(18, dim=1)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(images_of(data)), data.labels).backward()
        optimizer.step()
    attack = PGD(epsilon=0.1, step=0.01, iterations=12, start=start, precision="bf16", engine="reference")
    progress = []
    outcome = white_box(model, data, attack, BUDGETS, seed=3, batch_size=batch_size, progress=progress.append)

    network, images, last = attack.prepare(model, images_of(data)), images_of(data), BUDGETS[-1]
    state = attack.begin(network, images, data.labels, generators(3, "attack", torch.arange(len(data)), 0))
    right = model(images).argmax(dim=1) == data.labels
    failed_at, mistaken = torch.where(right, last + 1, 0), 0
    for age in range(last + 1):
        following, coarse = attack.advance(network, state, images, data.labels)
        wrong = model(state.adversarial).argmax(dim=1) != data.labels
        suspected = coarse | (age == last)
        mistaken += int((suspected & ~wrong & (failed_at > last)).sum())
        failed_at[suspected & wrong & (failed_at > last)] = max(age, 1)
        state = following
    assert mistaken > 10
    assert 0 < (failed_at > last).sum() < right.sum()
    for row, budget in enumerate(BUDGETS):
        assert torch.equal(outcome.robust[row, 0], failed_at > budget)
    assert sum(progress) == len(data) * (12 + 1)
