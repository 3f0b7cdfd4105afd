"""Eq. 2: the sum of its parts, the same as the trainer's objective, and nothing but torch behind it."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from atlpa.defenses import Defense, Views, load_preset
from atlpa.losses import ATLPALoss, attention_map_loss, tolerant_logit_loss

STAGES = ("conv2_x", "conv3_x", "conv4_x", "conv5_x")


@pytest.fixture
def outputs():
    torch.manual_seed(0)
    clean, adversarial = torch.randn(6, 17), torch.randn(6, 17)
    maps = [
        {name: torch.randn(6, 3, side, side) for name, side in zip(STAGES, (8, 4, 2, 1), strict=True)} for _ in "oa"
    ]
    return clean, adversarial, torch.arange(6), *maps


def test_terms_of_equation_2(outputs):
    clean, adversarial, labels, clean_stages, adversarial_stages = outputs
    o, a = list(clean_stages.values()), list(adversarial_stages.values())
    terms = ATLPALoss(alpha=0.3, beta=2.0, k=4)(clean, adversarial, labels, o, a)
    both = [tolerant_logit_loss(logits, 4) for logits in (clean, adversarial)]
    assert terms["cross_entropy"] == pytest.approx(
        (F.cross_entropy(clean, labels) + F.cross_entropy(adversarial, labels)).item() / 2
    )
    assert terms["tolerant_logit"].item() == pytest.approx(0.3 * sum(both).item() / 2)
    assert terms["attention_map"].item() == pytest.approx(2 * attention_map_loss(o, a).item())


def test_without_attention_needs_no_stages(outputs):
    assert set(ATLPALoss(beta=0)(*outputs[:3])) == {"cross_entropy", "tolerant_logit"}


@pytest.mark.parametrize(("preset", "beta"), [("atlpa", 1.0), ("atlpa_no_attention", 0.0)])
def test_is_the_trainers_objective(outputs, preset, beta):
    clean, adversarial, labels, clean_stages, adversarial_stages = outputs
    objective = Defense.model_validate(load_preset(preset).fields).objective(
        Views(labels, torch.empty(0), clean, adversarial, clean_stages, adversarial_stages)
    )
    expected = ATLPALoss(beta=beta)(
        clean, adversarial, labels, list(clean_stages.values()), list(adversarial_stages.values())
    )
    assert objective.keys() == expected.keys()
    for name, term in expected.items():
        assert objective[name].item() == pytest.approx(term.item(), rel=1e-6)


def test_imports_torch_and_nothing_else():
    code = (
        "import torch, sys; before = set(sys.modules); import atlpa.losses; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == ["atlpa"]
