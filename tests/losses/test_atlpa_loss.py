"""Eq. 2: the sum of its parts, the same as the trainer's objective, and nothing but torch behind it."""

import copy
import math
import pickle
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from atlpa.component import validate
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
    objective = validate(Defense, load_preset(preset).fields).objective(
        Views(labels, torch.empty(0), clean, adversarial, clean_stages, adversarial_stages)
    )
    expected = ATLPALoss(beta=beta)(
        clean, adversarial, labels, list(clean_stages.values()), list(adversarial_stages.values())
    )
    assert objective.keys() == expected.keys()
    for name, term in expected.items():
        assert objective[name].item() == pytest.approx(term.item(), rel=1e-6)


def test_a_reduction_is_over_the_images_and_an_image_is_the_mean_of_its_views(outputs):
    clean, adversarial, labels, o, a = outputs
    none = ATLPALoss(0.3, 2.0, label_smoothing=0.1, reduction="none")(*outputs)
    views = [F.cross_entropy(logits, labels, reduction="none", label_smoothing=0.1) for logits in (clean, adversarial)]
    torch.testing.assert_close(none["cross_entropy"], torch.stack(views).mean(dim=0))
    views = [0.3 * tolerant_logit_loss(logits, reduction="none") for logits in (clean, adversarial)]
    torch.testing.assert_close(none["tolerant_logit"], torch.stack(views).mean(dim=0))
    torch.testing.assert_close(none["attention_map"], 2 * attention_map_loss(o, a, reduction="none"))
    for reduction in ("mean", "sum"):
        found = ATLPALoss(0.3, 2.0, label_smoothing=0.1, reduction=reduction)(*outputs)
        assert found.keys() == none.keys()
        for name, term in none.items():
            torch.testing.assert_close(found[name], getattr(term, reduction)())


def test_weights_of_the_ranks(outputs):
    clean, adversarial, labels, *_ = outputs
    both = torch.cat([clean, adversarial])
    expected = tolerant_logit_loss(both, 3, [0.5, 0.1]).item()
    for k in (3, None):
        terms = ATLPALoss(1, 0, k, weights=[0.5, 0.1])(clean, adversarial, labels)
        assert terms["tolerant_logit"].item() == pytest.approx(expected)


@pytest.mark.parametrize("classes", [2, 4])
def test_few_classes_need_no_other_settings(outputs, classes):
    logits = [view[:, :classes] for view in outputs[:2]]
    found = ATLPALoss(1, 0)(*logits, outputs[2] % classes)["tolerant_logit"]
    assert found.item() == pytest.approx(tolerant_logit_loss(torch.cat(logits), k=classes).item())
    with pytest.raises(ValueError, match=f"k=5 top classes of {classes}"):
        ATLPALoss(k=5)(*logits, outputs[2] % classes)


def test_stages_are_matched_and_chosen_by_name(outputs):
    *logits, o, a = outputs
    backwards = dict(reversed(a.items()))
    expected = attention_map_loss(list(o.values()), list(a.values())).item()
    assert ATLPALoss()(*logits, o, backwards)["attention_map"].item() == pytest.approx(expected)
    chosen = ATLPALoss(stages=("conv5_x", "conv3_x"))(*logits, o, backwards)["attention_map"]
    expected = attention_map_loss([o["conv3_x"], o["conv5_x"]], [a["conv3_x"], a["conv5_x"]]).item()
    assert chosen.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("stages", "clean", "adversarial", "message"),
    [
        (("conv6_x",), dict, dict, "choose from conv2_x, conv3_x, conv4_x, conv5_x"),
        (("conv5_x",), list, list, "choose from 0, 1, 2, 3"),
        (None, dict, list, "4 clean and 4 adversarial stages, conv2_x.*and 0, 1, 2, 3; give the same"),
        (None, dict, tuple, "no stages; give the feature maps of at least one"),
    ],
)
def test_stages_that_are_not_there(outputs, stages, clean, adversarial, message):
    made = {dict: dict, list: lambda maps: list(maps.values()), tuple: lambda _: ()}
    *logits, o, a = outputs
    with pytest.raises(ValueError, match=message):
        ATLPALoss(stages=stages)(*logits, made[clean](o), made[adversarial](a))


def test_all_must_be_of_one_batch(outputs):
    clean, adversarial, labels, o, a = outputs
    twice = {name: torch.cat([o[name], a[name]]) for name in STAGES}
    with pytest.raises(ValueError, match="stages of 12 images, logits of 6"):
        ATLPALoss()(clean, adversarial, labels, twice, twice)
    with pytest.raises(ValueError, match="stages of 6 and 12 images"):
        ATLPALoss()(clean, adversarial, labels, {**o, "conv3_x": twice["conv3_x"]}, {**a, "conv3_x": twice["conv3_x"]})
    with pytest.raises(ValueError, match=r"labels \(5,\), logits \(6, 17\)"):
        ATLPALoss(beta=0)(clean, adversarial, labels[:5])
    with pytest.raises(ValueError, match=r"clean logits \(6, 17\), adversarial \(1, 17\)"):
        ATLPALoss(beta=0)(clean, adversarial[:1], labels)


def test_one_pass_over_both_views(outputs):
    clean, adversarial, labels, o, a = outputs
    logits, stages = torch.cat([clean, adversarial]), {name: torch.cat([o[name], a[name]]) for name in STAGES}
    for objective in (ATLPALoss(), ATLPALoss(reduction="none", stages=("conv4_x",))):
        expected, found = objective(*outputs), objective.joined(logits, labels, stages)
        assert found.keys() == expected.keys()
        for name, term in expected.items():
            assert torch.equal(found[name], term)
    expected, found = ATLPALoss()(*outputs), ATLPALoss().joined(logits, labels, list(stages.values()))
    assert torch.equal(found["attention_map"], expected["attention_map"])
    assert ATLPALoss(beta=0).joined(logits, labels).keys() == {"cross_entropy", "tolerant_logit"}
    with pytest.raises(ValueError, match=r"logits \(6, 17\); must be clean and adversarial of 6 labels"):
        ATLPALoss(beta=0).joined(clean, labels)
    with pytest.raises(ValueError, match=r"conv2_x \(6, 3, 8, 8\); must be clean and adversarial"):
        ATLPALoss().joined(logits, labels, o)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1}, "alpha=-1; a weight must be at least 0"),
        ({"alpha": math.nan}, "alpha=nan"),
        ({"beta": math.inf}, "beta=inf"),
        ({"k": 1}, "k=1; k must lie in 2"),
        ({"k": 4, "weights": [0.5]}, "1 weights.*k=4 needs 3"),
        ({"weights": [0.5, -0.5]}, "non-negative"),
        ({"p": 0.5}, "p=0.5"),
        ({"p": math.nan}, "p=nan"),
        ({"p": math.inf}, "p=inf"),
        ({"label_smoothing": 1.0}, r"must lie in \[0, 1\)"),
        ({"label_smoothing": math.nan}, r"must lie in \[0, 1\)"),
        ({"stages": ()}, "sequence of names"),
        ({"stages": "conv5_x"}, "sequence of names"),
        ({"reduction": "max"}, "unknown reduction 'max'"),
    ],
)
def test_senseless_settings_are_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        ATLPALoss(**settings)


def test_shows_its_settings():
    shown = repr(
        ATLPALoss(0.2, 3, 4, 1, weights=[0.3, 0.2, 0.1], label_smoothing=0.1, stages=["conv5_x"], reduction="sum")
    )
    assert shown == (
        "ATLPALoss(alpha=0.2, beta=3, k=4, p=1, weights=(0.3, 0.2, 0.1), label_smoothing=0.1, stages=('conv5_x',), "
        "reduction='sum')"
    )
    assert "k=None" in repr(ATLPALoss())


def test_is_a_module_without_state(outputs):
    objective = ATLPALoss(0.3, label_smoothing=0.1, stages=("conv4_x",)).double()
    assert objective.state_dict() == {}
    twins = copy.deepcopy(objective), pickle.loads(pickle.dumps(objective))
    clean, adversarial, labels, *maps = outputs
    exact = (
        clean.double(),
        adversarial.double(),
        labels,
        *({n: m.double() for n, m in stages.items()} for stages in maps),
    )
    for name, term in objective(*exact).items():
        assert term.dtype == torch.float64
        assert all(torch.equal(twin(*exact)[name], term) for twin in twins)


def test_imports_torch_and_nothing_else():
    code = (
        "import torch, sys; before = set(sys.modules); import atlpa.losses; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == ["atlpa"]
