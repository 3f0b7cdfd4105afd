"""The credibility checks: a gallery of broken defenses, each found out by the check that should, and honest models."""

import re
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from atlpa.attacks import PGD
from atlpa.evaluation import credibility
from atlpa.evaluation.checks import CHECKS
from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.evaluation.checks.context import CheckContext
from atlpa.records import verdict

EPSILON = 0.1


@pytest.fixture(scope="module")
def digits():
    """Training images and labels, and 256 others, at 16×16 in [0, 1]."""
    scans, labels = load_digits(return_X_y=True)
    gray = torch.tensor(scans, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    images, labels = F.interpolate(gray.expand(-1, 3, -1, -1), 16, mode="bilinear"), torch.tensor(labels)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, labels = images[order], labels[order]
    return images[256:], labels[256:], images[:256], labels[:256]


class KWinnersTakeAll(nn.Module):
    """Keeps the largest few activations of an image, the others are zero: its gradient changes at every step."""

    def forward(self, activations):
        flat = activations.flatten(1)
        least = flat.topk(max(1, flat.shape[1] // 50), dim=1).values[:, -1:]
        return (flat * (flat >= least)).view_as(activations)


def network():
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(256, 10)),
    )


@pytest.fixture(scope="module")
def judged(digits):
    """Half of the others: enough for most checks."""
    return digits[2][:128], digits[3][:128]


def trained(make, digits, attack=None, steps=250):
    images, labels, *_ = digits
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
        optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
        for _ in range(steps):
            chosen = torch.randint(len(images), (64,), generator=generator)
            batch = images[chosen]
            if attack is not None:
                batch = attack(model, batch, labels[chosen], generator=generator)
            loss = F.cross_entropy(model(batch), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def honest(digits):
    return trained(network, digits)


@pytest.fixture(scope="module")
def adversarial(digits):
    return trained(network, digits, PGD(epsilon=EPSILON, step=EPSILON / 2, iterations=4, start="uniform"))


def by_name(findings, key="check"):
    return {getattr(finding, key): finding for finding in findings}


def found(check, model, images, labels, epsilon=EPSILON):
    """What one check finds on its own."""
    case = CheckContext(CheckedModel(model), images, labels, epsilon, None, [])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CHECKS[check](case)


class Reversed(torch.autograd.Function):
    """The identity, with a gradient that points downhill."""

    @staticmethod
    def forward(_, images):
        return images.clone()

    @staticmethod
    def backward(_, gradient):
        return -gradient


class Misled(torch.autograd.Function):
    """The identity; its gradient has far more noise than itself, the same each time."""

    @staticmethod
    def forward(_, images):
        return images.clone()

    @staticmethod
    def backward(_, gradient):
        noise = torch.randn(gradient.shape[1:], generator=torch.Generator().manual_seed(0))
        return gradient + 3 * gradient.abs().mean(dim=(1, 2, 3), keepdim=True) * noise


class Veiled(torch.autograd.Function):
    """A little noise, and far more of it on the gradient."""

    @staticmethod
    def forward(_, images):
        return images + 0.02 * torch.randn_like(images)

    @staticmethod
    def backward(_, gradient):
        return gradient + 4 * gradient.abs().mean(dim=(1, 2, 3), keepdim=True) * torch.randn_like(gradient)


def resized(images):
    side = int(torch.randint(8, 24, ()))
    return F.interpolate(F.interpolate(images, side), 16, mode="bilinear")


BROKEN = {
    "logits so large that the softmax saturates": (lambda net: lambda x: 1e4 * net(x), "ensemble", "fail"),
    "an input of five levels": (lambda net: lambda x: net((4 * x).round() / 4), "ensemble", "fail"),
    "a graph that is cut": (lambda net: lambda x: net(x.detach()), "gradients", "fail"),
    "a gradient that points downhill": (lambda net: lambda x: net(Reversed.apply(x)), "loss rises", "fail"),
    "outputs that are steps": (lambda net: lambda x: (2 * net(x)).round(), "gradients", "fail"),
    "noise at the input": (lambda net: lambda x: net(x + 0.5 * torch.randn_like(x)), "repeatability", "fail"),
    "a little noise at the input": (lambda net: lambda x: net(x + 0.1 * torch.randn_like(x)), "repeatability", "warn"),
    "a random size": (lambda net: lambda x: net(resized(x)), "repeatability", "fail"),
    "probabilities": (lambda net: lambda x: net(x).softmax(dim=1), "logits", "fail"),
    "a normalization of other images": (lambda net: lambda x: net(2 * x - 1), "normalization", "fail"),
    "a range of 0 to 255 that was forgotten": (lambda net: lambda x: net(x / 255), "normalization", "fail"),
    "a gradient with noise that is always the same": (
        lambda net: lambda x: net(Misled.apply(x)), "finite differences", "fail",
    ),
    "infinite logits": (lambda net: lambda x: net(x) / 0, "finite logits", "fail"),
    "an answer whatever is asked": (lambda net: lambda x: net(0 * x), "clean accuracy", "fail"),
    "a batch that normalizes itself": (
        lambda net: lambda x: net(0.3 + 0.3 * F.batch_norm(x, None, None, training=True)), "batch independence", "warn",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_defense_is_found_out(name, honest, judged):
    defend, check, status = BROKEN[name]
    finding = found(check, defend(honest), *judged)
    assert finding.status == status, finding.measured
    assert finding.advice


def test_winners_that_take_all_are_found_out(digits):
    def network():
        return nn.Sequential(
            *(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), KWinnersTakeAll()),
            *(nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), KWinnersTakeAll()),
            *(nn.Flatten(), nn.Linear(2048, 10)),
        )

    # Its gradient is another one a step away: for two images of three it does not tell the slope; a tenth may be so.
    # How many more fall to restarts is another number on each processor, since training amplifies the last bit.
    finding = found("finite differences", trained(network, digits, steps=250), *digits[2:])
    assert finding.status == "fail", finding.measured


def test_averaged_gradients_break_what_noise_hid(honest, judged):
    finding = found("averaged gradients", lambda x: honest(Veiled.apply(x)), *judged)
    assert finding.status == "fail", finding.measured


@pytest.mark.long
@pytest.mark.parametrize("epsilon", [2 / 255, EPSILON / 2, 0.5])
@pytest.mark.parametrize("name", ["honest", "adversarial"])
def test_honest_models_are_left_alone(name, epsilon, honest, judged, request):
    model, reference = request.getfixturevalue(name), honest if name == "adversarial" else None
    images, labels = judged[0][:32], judged[1][:32]
    findings = credibility(model, images, labels, epsilon, reference, [reference] if reference else [])
    assert not verdict(findings).startswith("fail"), verdict(findings)
    assert not verdict([f for f in findings if f.check != "reference"]).startswith("warn")


@pytest.mark.parametrize(
    ("change", "epsilon", "check"),
    [
        (lambda images: images, 8.0, "epsilon unit"),
        (lambda images: images, 8 / 255 / 255, "epsilon unit"),
        (lambda images: 255 * images, 8.0, "pixel range"),
        (lambda images: images / 255, 8 / 255, "pixel range"),
        (lambda images: 2 * images - 1, 8 / 255, "pixel range"),
    ],
)
def test_a_wrong_unit_ends_the_checks(change, epsilon, check, honest, judged):
    findings = by_name(credibility(honest, change(judged[0]), judged[1], epsilon))
    assert findings[check].status == "fail"
    assert {finding.status for name, finding in findings.items() if name == "gradients"} == {"skip"}
    assert len(findings) == len(CHECKS)


def test_constant_gray_at_one_half(honest, adversarial, judged):
    """At ε 0.5 every image may become the same gray, so that nothing beyond the largest class may stand."""
    assert found("guessing", adversarial, *judged, 0.5).status == "pass"
    for check in ("guessing", "gray"):
        assert found(check, lambda x: honest(x.detach()), *judged, 0.5).status == "fail"
    assert found("guessing", honest, *judged).status == "skip"


def test_reference_and_sources_are_asked_for(honest, adversarial, judged):
    few, checks = (judged[0][:32], judged[1][:32]), [CHECKS["transfer"], CHECKS["reference"]]
    alone = by_name(credibility(adversarial, *few, EPSILON, checks=checks))
    assert [alone[name].status for name in ("reference", "transfer")] == ["skip", "skip"]
    assert "no transfer source was given" in alone["transfer"].measured
    given = by_name(credibility(adversarial, *few, EPSILON, honest, [honest], checks=checks))
    assert [given[name].status for name in ("reference", "transfer")] == ["pass", "pass"]


@pytest.mark.parametrize(
    ("seal", "named"),
    [
        (torch.jit.script, "the whole model"),
        (lambda net: nn.Sequential(nn.Identity(), torch.jit.script(net)), "1"),
        (lambda net: torch.compile(net, backend="eager"), "the whole model"),
        (lambda net: torch.compile(net.forward, backend="eager"), "the whole model"),
        (lambda net: net, None),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # of torch's own compilers
def test_what_no_attack_can_enter_is_named(seal, named, honest, judged):
    for check in ("stand-ins", "bare layers"):
        measured = found(check, seal(honest), judged[0][:8], judged[1][:8]).measured
        assert measured.partition("not entered: ")[2] == (named or "")


def test_a_few_standing_images_are_enough_and_none_is_said(honest, judged):
    """Eight of eight that fall are more than chance; where nothing stands there is nothing to overstate."""
    few = judged[0][:8], judged[1][:8]
    finding = found("ensemble", lambda x: honest(x.detach()), *few, 2 * EPSILON)
    assert (finding.status, finding.measured) == (
        "fail",
        "100.0 % → 0.0 % of 8: 8 of 8 fall, without a gradient to square alone",
    )
    finding = found("ensemble", honest, *few, 0.5)
    assert (finding.status, finding.measured) == ("skip", "0.0 % → 0.0 % of 8, too few to tell")


class Demanding(nn.Module):
    """Refuses to be asked about nothing, as many models do."""

    def __init__(self, model, noise=0.0):
        super().__init__()
        self.model, self.noise = model, noise

    def forward(self, images):
        assert len(images)
        return self.model(images + self.noise * torch.randn_like(images))


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_no_model_is_asked_about_nothing(noise, honest, judged):
    """Where nothing stands, or nothing is right to begin with, there is no image left to attack."""
    few, labels = judged[0][:8], judged[1][:8]
    for given in (labels, (labels + 1) % 10):
        findings = credibility(Demanding(honest, noise), few, given, 0.4, Demanding(honest), [Demanding(honest)])
        assert "0.0 % → 0.0 % of 8, too few" in by_name(findings)["iterations"].measured


def test_models_and_global_randomness_are_left_as_they_were(honest, digits):
    model = trained(network, digits, steps=3).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    first = credibility(model, digits[2][:16], digits[3][:16], EPSILON, honest)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    again = credibility(model, digits[2][:16], digits[3][:16], EPSILON, honest)
    assert (list(first), first.standing.correct) == (list(again), again.standing.correct)


@pytest.mark.parametrize(
    ("images", "labels", "model", "message"),
    [
        (torch.rand(4, 3, 8, 8), torch.zeros(3, dtype=torch.long), None, "labels"),
        (torch.rand(0, 3, 8, 8), torch.zeros(0, dtype=torch.long), None, "N ≥ 1"),
        (torch.rand(4, 3, 8, 8), torch.zeros(4), None, "float32"),
        (torch.rand(4, 3, 8, 8), torch.full((4,), 5), lambda x: x.flatten(1)[:, :3], "label 5 but 3 classes"),
        (torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long), lambda x: x, r"\(4, 3, 8, 8\)"),
        (torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long), lambda x: (x,), "tuple"),
    ],
)
def test_what_cannot_be_checked_is_said(images, labels, model, message):
    with pytest.raises(ValueError, match=message):
        credibility(model or (lambda x: x.flatten(1)), images, labels)


def test_a_source_for_another_task_is_named(honest, judged):
    with pytest.raises(ValueError, match="source 2 has 4 classes, the model 10"):
        credibility(honest, judged[0][:8], judged[1][:8], EPSILON, honest, [honest, lambda x: honest(x)[:, :4]])


def test_every_check_is_explained():
    """The page has one section for each check, with its source."""
    page = (Path(__file__).parents[2] / "docs" / "credibility.md").read_text()
    sections = dict(re.findall(r"^### (.+?)\n(.+?)(?=\n#|\Z)", page, flags=re.DOTALL | re.MULTILINE))
    assert list(sections) == list(CHECKS)
    for check in CHECKS.values():
        if check.source != "derived":
            assert check.source.split(" et al.")[0].split(" &")[0] in sections[check.name]


def test_long_attacks_tell_how_far_they_are(digits):
    """Each attack's shares rise to 100 %, between the names of the checks that make it."""
    told, model, images = [], network().eval(), digits[2][:8]
    labels = model(images).argmax(dim=1)  # all are right
    credibility(model, images, labels, 0.01, checks=[CHECKS["ensemble"]], progress=told.append, tell=told.append)
    assert told[0] == "ensemble"
    shares = [int(text.split()[1]) for text in told if text.startswith("ensemble ")]
    assert shares == sorted(shares)
    assert len(shares) > 1
    assert shares[-1] == 100
    assert "pgd 100 %" in told
