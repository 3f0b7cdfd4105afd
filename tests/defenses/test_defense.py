"""Defenses as data: presets, overrides, and combinations that make no sense."""

import pytest
import torch
from torch.nn import functional as F

from atlpa.defenses import Defense, Views, load_preset, preset_names
from atlpa.errors import UserError
from atlpa.experiment import load


def test_every_preset_builds():
    assert {"none", "pat", "atlpa_no_attention", "atlpa"} <= set(preset_names())
    for name in preset_names():
        assert Defense.model_validate(load_preset(name)).name == name


def test_unknown_preset_offers_the_nearest():
    with pytest.raises(UserError, match="unknown defense 'atpla'; did you mean 'atlpa'"):
        load_preset("atpla")


@pytest.mark.parametrize(
    ("fraction", "needs_clean", "needs_adversarial"), [(0, True, False), (0.5, True, True), (1, False, True)]
)
def test_the_mix_weighs_cross_entropy(fraction, needs_clean, needs_adversarial):
    defense = load("digits", [("defense", {"preset": "pat", "adversarial_fraction": fraction})]).defense
    assert defense.needs_clean is needs_clean
    assert defense.needs_adversarial is needs_adversarial
    clean, adversarial, labels = torch.randn(8, 5), torch.randn(8, 5), torch.arange(8) % 5
    (loss,) = defense.objective(
        Views(labels, clean if needs_clean else None, adversarial if needs_adversarial else None)
    ).values()
    expected = (1 - fraction) * F.cross_entropy(clean, labels) + fraction * F.cross_entropy(adversarial, labels)
    assert loss.item() == pytest.approx(expected.item())


def test_a_part_of_a_preset_is_overridden():
    defense = load("digits", [("defense", "atlpa"), ("defense.terms.attention_map.stages", ["conv5_x"])]).defense
    assert defense.terms.attention_map.stages == ("conv5_x",)
    assert defense.terms.attention_map.weight == 1
    assert defense.terms.tolerant_logit.weight == 0.1
    without = load("digits", [("defense", "atlpa"), ("defense.terms.attention_map", None)]).defense
    assert without.terms == load("digits", [("defense", "atlpa_no_attention")]).defense.terms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            [("defense", "atlpa"), ("defense.adversarial_fraction", 0)],
            "attention_map compares clean with adversarial",
        ),
        ([("defense.terms.cross_entropy", None)], "no loss term with a weight above 0"),
        ([("defense.terms.cross_entropy.weight", 0)], "no loss term with a weight above 0"),
        ([("defense.terms.cross_entropi", {})], "did you mean 'cross_entropy'"),
        ([("defense.terms.attention_map.stages", ["conv6_x"])], "'conv2_x', 'conv3_x'"),
        (
            [("defense.terms.tolerant_logit.weight", -1)],
            r"terms\.tolerant_logit\.weight.*greater than or equal to 0",
        ),
        ([("defense.adversarial_fraction", 1.5)], "less than or equal to 1"),
        ([("defense", "paat")], "did you mean 'pat'"),
    ],
)
def test_senseless_combinations_are_refused_with_the_reason(changes, message):
    with pytest.raises(UserError, match=message):
        load("digits", changes)


def test_more_top_classes_than_there_are():
    defense = load("digits", [("defense", "atlpa"), ("defense.terms.tolerant_logit.k", 11)]).defense
    with pytest.raises(UserError, match="11 top classes of 10"):
        defense.check_classes(10)
