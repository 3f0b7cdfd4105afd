"""Defenses as data: presets, overrides, and combinations that make no sense."""

import pytest
import torch
from torch.nn import functional as F

from atlpa.component import dump, validate
from atlpa.defenses import Defense, Term, Views, load_preset, preset_names
from atlpa.defenses.classification import CrossEntropy
from atlpa.errors import UserError
from atlpa.experiment import load
from atlpa.losses import tolerant_logit_loss
from atlpa.models import RESNET_STAGES

NO_IMAGES = torch.empty(0)


def test_every_preset_builds():
    table1 = {"none", "igr", "pat", "rat", "randomization", "alp", "fd", "atlpa_no_attention", "atlpa"}
    variants = {"igr_clean", "randomization_clean"}
    single_step = {"rs_fgsm", "n_fgsm", "grad_align"}
    beyond = {"trades", "trades_original", "trades_awp", "mart", "awp", "pat_smooth"}
    certified = {"ibp"}
    assert table1 | variants | single_step | beyond | certified == set(preset_names())
    built = {name: validate(Defense, load_preset(name).fields) for name in preset_names()}
    assert {name for name, defense in built.items() if defense.undefended} == {"none"}
    randomized = {"rat", "randomization", "randomization_clean"}
    assert {name for name, defense in built.items() if defense.randomized} == randomized
    # §5.3: every defense is trained on the 1 : 1 mix; those of a single step are not the paper's.
    mixes = {name: defense.adversarial_fraction for name, defense in built.items()}
    assert mixes == {
        name: 0 if name in variants | certified | {"none"} else 1 if name in single_step else 0.5 for name in built
    }


def test_values_chosen_elsewhere_are_fields_of_their_preset():
    for name in preset_names():
        preset = load_preset(name)
        built = dump(validate(Defense, preset.fields))
        for dotted in preset.tuned:
            given, value = preset.fields, built
            for part in dotted.split("."):
                given, value = given[part], value[part]
            assert given == value > 0


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
        Views(labels, NO_IMAGES, clean if needs_clean else None, adversarial if needs_adversarial else None)
    ).values()
    expected = (1 - fraction) * F.cross_entropy(clean, labels) + fraction * F.cross_entropy(adversarial, labels)
    assert loss.item() == pytest.approx(expected.item())


def test_a_part_of_a_preset_is_overridden():
    defense = load("digits", [("defense", "atlpa"), ("defense.terms.attention_map.stages", ["conv5_x"])]).defense
    assert defense.terms["attention_map"].stages == ("conv5_x",)
    assert defense.terms["attention_map"].weight == 1
    assert defense.terms["tolerant_logit"].weight == 0.1
    without = load("digits", [("defense", "atlpa"), ("defense.terms.attention_map", None)]).defense
    assert without.terms == load("digits", [("defense", "atlpa_no_attention")]).defense.terms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            [("defense", "atlpa"), ("defense.adversarial_fraction", 0)],
            "term attention_map needs adversarial images",
        ),
        ([("defense.terms.cross_entropy", None)], "no loss term with a weight above 0"),
        ([("defense.terms.cross_entropy.weight", 0)], "no loss term with a weight above 0"),
        ([("defense.terms.cross_entropi", {})], "did you mean 'cross_entropy'"),
        ([("defense", "atlpa"), ("defense.terms.attention_maps", None)], "did you mean 'attention_map'"),
        (
            [("defense.terms.tolerant_logit.weight", -1)],
            r"terms\.tolerant_logit\.weight.*greater than or equal to 0",
        ),
        ([("defense.adversarial_fraction", 1.5)], "less than or equal to 1"),
        ([("defense", "paat")], "did you mean 'pat'"),
        ([("defense.terms.cross_entropy.images", "adversarial")], "term cross_entropy needs adversarial images"),
        ([("defense", "trades"), ("defense.adversarial_fraction", 0)], "needs adversarial images"),
        ([("defense.attack.loss", "kl")], "nothing is attacked"),
        (
            [("defense", "pat"), ("defense.terms.cross_entropy.images", "clean")],
            "no term looks at the adversarial ones",
        ),
        (
            [("defense", "atlpa"), ("defense.terms.tolerant_logit", {"k": 5, "weights": [0.5]})],
            "1 weights.*k=5 needs 4",
        ),
        ([("defense", "atlpa"), ("defense.terms.attention_map.p", float("inf"))], "finite number"),
        ([("defense.terms.cross_entropy.smoothing", 1)], "less than 1"),
    ],
)
def test_senseless_combinations_are_refused_with_the_reason(changes, message):
    with pytest.raises(UserError, match=message):
        load("digits", changes)


def test_stages_are_those_that_some_term_looks_at():
    """In the network's order, none for most defenses; one that the network lacks is refused with what it has."""
    has = ("early", "conv3_x", "conv5_x")
    assert load("digits", [("defense", "pat")]).defense.needs_stages(has) == ()
    attention = [("defense", "atlpa"), ("defense.terms.attention_map.stages", ["conv5_x", "early"])]
    assert load("digits", attention).defense.needs_stages(has) == ("early", "conv5_x")
    assert load("digits", [*attention, ("defense.terms.attention_map.stages", None)]).defense.needs_stages(has) == has
    with pytest.raises(UserError, match=r"terms\.attention_map: .* of conv2_x, conv4_x are .* has early, conv3_x"):
        load(
            "digits", [*attention[:1], ("defense.terms.attention_map.stages", list(RESNET_STAGES))]
        ).defense.needs_stages(has)
    with pytest.raises(UserError, match="the network names none"):
        load("digits", [*attention, ("defense.terms.attention_map.stages", None)]).defense.needs_stages(())


class Sharpness(Term):
    """A term that wants the images' gradient and one stage, whatever it is called."""

    @property
    def needs(self):
        return frozenset({"clean"})

    @property
    def needs_input_gradient(self):
        return True

    def needs_stages(self, available):
        return available[-1:]

    def __call__(self, views, _):
        (slope,) = torch.autograd.grad(views.clean.sum(), views.images, create_graph=True)
        return slope.abs().mean()


def test_what_a_term_needs_is_asked_of_the_term():
    defense = Defense(name="mine", adversarial_fraction=0, terms={"sharp": Sharpness()})
    assert defense.needs_input_gradient
    assert defense.needs_stages(("a", "b")) == ("b",)
    images = torch.rand(2, 3, requires_grad=True)
    (value,) = defense.objective(Views(torch.zeros(2), images, images @ torch.tensor([[1.0], [-2], [6]]))).values()
    assert value.item() == 3  # the mean of 1, 2 and 6


def test_a_term_that_python_gives_is_named_by_where_it_lies():
    terms = {"mine": Sharpness(), "later": CrossEntropy(), "kl_pairing": None}
    defense = Defense(name="mine", adversarial_fraction=0, terms=terms)
    assert list(defense.terms) == ["cross_entropy", f"{__name__}:Sharpness"]
    with pytest.raises(ValueError, match="cross_entropy is given twice"):
        Defense(name="mine", adversarial_fraction=0, terms={"a": CrossEntropy(), "b": CrossEntropy(images="clean")})


class PerImage(Term):
    """A term that forgets to average."""

    def __call__(self, views, _):
        return views.clean.sum(1)


class Unfinished(Term):
    """A term without a loss."""


@pytest.mark.parametrize(
    ("term", "error", "message"),
    [
        (PerImage(), ValueError, r"PerImage gave shape \(8,\); it must give a scalar"),
        (Unfinished(), NotImplementedError, "Unfinished has no __call__"),
    ],
)
def test_a_term_that_gives_no_loss(term, error, message):
    defense = Defense(name="mine", adversarial_fraction=0, terms={"mine": term})
    with pytest.raises(error, match=message):
        defense.objective(views())


def test_more_top_classes_than_there_are():
    defense = load("digits", [("defense", "atlpa"), ("defense.terms.tolerant_logit.k", 11)]).defense
    with pytest.raises(
        UserError, match=r"defense\.terms\.tolerant_logit: k=11 top classes of 10; k must lie in 2 … 10"
    ):
        defense.for_classes(10)
    weighed = load("digits", [("defense", "atlpa"), ("defense.terms.tolerant_logit.weights", [0.1] * 4)]).defense
    with pytest.raises(UserError, match="k=5 top classes of 4"):
        weighed.for_classes(4)


@pytest.mark.parametrize(("classes", "k"), [(2, 2), (4, 4), (5, 5), (17, 5)])
def test_a_default_adapts_to_the_number_of_classes_and_says_so_where_it_gives_way(classes, k):
    defense = load("digits", [("defense", "atlpa"), ("defense.terms.top_k_pairing", {})]).defense
    decided = defense.for_classes(classes)
    assert (decided.terms["tolerant_logit"].k, decided.terms["top_k_pairing"].k) == (k, k)
    assert decided.for_classes(classes) == decided
    assert decided.terms["attention_map"] == defense.terms["attention_map"]
    named = [
        f"defense.terms.{name}.k is {classes}, every class there is" for name in ("tolerant_logit", "top_k_pairing")
    ]
    assert defense.notes(classes) == (named if classes < 5 else [])
    assert decided.notes(classes) == []


def test_weights_decide_how_many_top_classes_there_are():
    defense = load("digits", [("defense", "atlpa"), ("defense.terms.tolerant_logit.weights", [0.5, 0.5])]).defense
    assert defense.for_classes(4).terms["tolerant_logit"].k == 3
    assert defense.notes(4) == []


def views(seed=0):
    torch.manual_seed(seed)
    stages = [{name: torch.randn(8, 3, 4, 4) for name in ("conv2_x", "conv3_x", "conv4_x", "conv5_x")} for _ in "oa"]
    return Views(torch.arange(8) % 7, NO_IMAGES, torch.randn(8, 7), torch.randn(8, 7), *stages)


def terms_of(seen, *changes):
    """The weighted terms of a preset with changes, on some views."""
    (preset, *rest) = changes
    return load("digits", [("defense", preset), *rest]).defense.objective(seen)


def test_alp_is_smoothed_cross_entropy_and_logit_pairing():
    seen = views()
    terms = terms_of(seen, "alp")
    both, labels = torch.cat([seen.clean, seen.adversarial]), torch.cat([seen.labels, seen.labels])
    target = 0.9 * F.one_hot(labels, 7) + 0.1 / 7
    assert terms["cross_entropy"].item() == pytest.approx(
        -(target * both.log_softmax(1)).sum(1).mean().item(), rel=1e-5
    )
    assert terms["logit_pairing"].item() == pytest.approx(
        0.5 * F.mse_loss(seen.clean, seen.adversarial).item(), rel=1e-5
    )


def test_options_of_the_tolerant_logit():
    seen = views()

    def loss(**options):
        changes = [(f"defense.terms.tolerant_logit.{name}", value) for name, value in options.items()]
        return terms_of(seen, "atlpa", *changes)["tolerant_logit"].item() / 0.1

    assert loss(images="clean") == pytest.approx(tolerant_logit_loss(seen.clean).item(), rel=1e-5)
    assert loss(images="adversarial") == pytest.approx(tolerant_logit_loss(seen.adversarial).item(), rel=1e-5)
    assert loss() == pytest.approx((loss(images="clean") + loss(images="adversarial")) / 2, rel=1e-5)
    softened = [tolerant_logit_loss(logits.softmax(1)).item() for logits in (seen.clean, seen.adversarial)]
    assert loss(on="probabilities") == pytest.approx(sum(softened) / 2, rel=1e-5)
    weighed = [tolerant_logit_loss(logits, 3, [0.5, 0.1]).item() for logits in (seen.clean, seen.adversarial)]
    assert loss(k=3, weights=["1/2", 0.1]) == pytest.approx(sum(weighed) / 2, rel=1e-5)


def test_detached_attention_teaches_the_adversarial_branch_alone():
    for detach in (False, True):
        seen = views()
        for stages in (seen.clean_stages, seen.adversarial_stages):
            for stage in stages.values():
                stage.requires_grad_(True)
        terms_of(seen, "atlpa", ("defense.terms.attention_map.detach", detach))["attention_map"].backward()
        assert (seen.clean_stages["conv4_x"].grad is None) is detach
        assert seen.adversarial_stages["conv4_x"].grad.any()


def test_a_combination_without_code():
    seen = views()
    terms = terms_of(seen, "atlpa", ("defense.terms.logit_pairing", {}), ("defense.terms.top_k_pairing", {"k": 2}))
    assert terms.keys() == {"cross_entropy", "tolerant_logit", "attention_map", "logit_pairing", "top_k_pairing"}
