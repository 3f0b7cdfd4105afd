"""Labels that are shares of the classes, as mixed images have them."""

import pytest
import torch
from torch import nn

from atlpa.component import validate
from atlpa.defenses import TERMS, Defense, Views, load_preset
from atlpa.defenses.classification import CrossEntropy

STAGES = {"conv5_x": torch.rand(6, 2, 3, 3)}


def seen(labels):
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(6, 12, generator=draw, requires_grad=True)
    logits = images @ torch.randn(12, 4, generator=draw)
    adversarial, model = torch.randn(6, 4, generator=draw), nn.Linear(12, 4)
    return Views(labels, images, logits, adversarial, STAGES, STAGES, model, epsilon=0.1)


def shares():
    return torch.rand(6, 4, generator=torch.Generator().manual_seed(1)).softmax(dim=1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("images", ["mix", "clean", "adversarial"])
def test_cross_entropy_with_shares_is_that_of_the_classes_in_those_shares(smoothing, images):
    term, given = CrossEntropy(smoothing=smoothing, images=images), shares()
    of_each = torch.stack([term(seen(torch.full((6,), label)), 0.3) for label in range(4)])
    alike = seen(given.mean(dim=0).expand(6, 4))
    assert term(alike, 0.3).item() == pytest.approx((given.mean(dim=0) * of_each).sum().item(), rel=1e-5)
    one, other = torch.arange(6) % 4, torch.arange(6).flip(0) % 4
    mixed = 0.7 * torch.eye(4)[one] + 0.3 * torch.eye(4)[other]
    expected = 0.7 * term(seen(one), 0.3) + 0.3 * term(seen(other), 0.3)
    assert term(seen(mixed), 0.3).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", list(TERMS.built_in))
def test_a_term_takes_shares_or_says_that_it_cannot(name):
    term = TERMS[name]()
    if term.one_class:
        with pytest.raises((ValueError, RuntimeError), match=r"labels|multi-target"):
            term(seen(shares()), 0.5)
    else:
        assert term(seen(shares()), 0.5).isfinite()
    assert term(seen(torch.arange(6) % 4), 0.5).isfinite()


def test_whoever_needs_one_class_is_known_by_its_terms():
    needing = {
        preset: [name for name, term in validate(Defense, load_preset(preset).fields).terms.items() if term.one_class]
        for preset in ("pat", "atlpa", "igr", "mart")
    }
    terms = ["boosted_cross_entropy", "weighted_kl_pairing"]
    assert needing == {"pat": [], "atlpa": [], "igr": ["input_gradient"], "mart": terms}
