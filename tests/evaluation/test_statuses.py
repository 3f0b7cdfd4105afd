"""Every check gives every status it can: on networks that treat some images in a known way and the others honestly."""

from dataclasses import dataclass, replace

import pytest
import torch
from hiding import (
    EPSILON,
    ROBUST,
    WEAK,
    Cutter,
    Mixed,
    N,
    Weighted,
    along_a_corridor,
    cut,
    honest,
    less_the_batch,
    mended_by_rounding,
    mislabeled,
    noisy,
    overwhelmed,
    pictures,
    reversed_gradient,
    saturated,
    sees_the_grid,
    stuck_at_the_grid,
    stuck_off_the_grid,
    veiled,
    wants_negative_pixels,
    within_a_shell,
    wrong_at_one_place,
)
from torch import nn

from atlpa.evaluation.checks import CHECKS
from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.evaluation.checks.context import CheckContext


@dataclass
class Setting:
    """A case."""

    images: tuple
    model: object = honest
    epsilon: float = EPSILON
    reference: object = None
    sources: tuple = ()

    def case(self):
        given = [CheckedModel(source, "a source") for source in self.sources]
        reference = None if self.reference is None else CheckedModel(self.reference, "the reference")
        return CheckContext(CheckedModel(self.model), *self.images, self.epsilon, reference, given)


def by_share(treat, gap, *, fail=30, warn=2, others_gap=ROBUST, **rest):
    """Three settings that differ in how many of the sixty images are treated otherwise."""
    shares = {"fail": fail, "warn": warn, "pass": 0}
    return {status: Setting(pictures(n, gap, others_gap), Mixed(treat), **rest) for status, n in shares.items()}


def beside_weak_ones(marked):
    """Twenty marked images that random search breaks at once, so many that it may break late, and honest others."""
    (weak, few), (robust, others) = pictures(20, WEAK, n=20), pictures(marked, ROBUST, n=40)
    return torch.cat([weak, robust]), torch.cat([few, others])


# Checks of what another attack breaks: what hides from PGD alone, and with which gap between the channels.
HIDDEN = {
    "iterations": (along_a_corridor, ROBUST),
    "larger epsilon": (within_a_shell, ROBUST),
    "epsilon 1": (cut, ROBUST),
    "ensemble": (saturated, WEAK),
    "neighbors": (stuck_at_the_grid, WEAK),
    "stand-ins": (cut, WEAK),
    "fgsm": (stuck_off_the_grid, WEAK),
    "noise": (sees_the_grid, ROBUST),
    "gray": (sees_the_grid, ROBUST),
    "transfer": (cut, WEAK),
}
ALL_ROBUST = pictures(0, WEAK)
CASES = {
    "pixel range": {"fail": Setting((255 * ALL_ROBUST[0], ALL_ROBUST[1])), "pass": Setting(ALL_ROBUST)},
    "epsilon unit": {"fail": Setting(ALL_ROBUST, epsilon=8.0), "pass": Setting(ALL_ROBUST)},
    "finite logits": {"fail": Setting(pictures(1, WEAK), Mixed(lambda x: honest(x) / 0)), "pass": Setting(ALL_ROBUST)},
    "clean accuracy": {
        status: Setting(mislabeled(wrong, ALL_ROBUST)) for status, wrong in {"fail": 30, "warn": 27, "pass": 0}.items()
    },
    "normalization": {
        "fail": Setting(pictures(30, ROBUST), Mixed(wants_negative_pixels)),
        "warn": Setting(mislabeled(20, pictures(8, ROBUST)), Mixed(wants_negative_pixels)),
        "pass": Setting(mislabeled(20, ALL_ROBUST)),
    },
    "logits": {"fail": Setting(ALL_ROBUST, lambda x: honest(x).softmax(dim=1)), "pass": Setting(ALL_ROBUST)},
    "repeatability": {
        "fail": Setting(pictures(30, ROBUST), Mixed(overwhelmed)),
        "warn": Setting(pictures(30, ROBUST), Mixed(noisy)),
        "pass": Setting(ALL_ROBUST),
    },
    "batch independence": {
        status: Setting(ALL_ROBUST, less_the_batch(share))
        for status, share in {"fail": 8, "warn": 1, "pass": 0}.items()
    },
    "gradients": by_share(cut, WEAK),
    "finite differences": by_share(reversed_gradient, ROBUST, warn=7),
    "loss rises": by_share(reversed_gradient, ROBUST, warn=4),
    "perturbation": by_share(cut, ROBUST),
    "8-bit rounding": by_share(mended_by_rounding, ROBUST, others_gap=WEAK),
    "iterations": by_share(*HIDDEN["iterations"]),
    "larger epsilon": by_share(*HIDDEN["larger epsilon"]),
    "epsilon 1": by_share(*HIDDEN["epsilon 1"], warn=4),
    "ensemble": by_share(*HIDDEN["ensemble"], fail=40, warn=15),
    "averaged gradients": {
        "fail": Setting(pictures(30, 34), Mixed(veiled)),
        "warn": Setting(pictures(2, 34), Mixed(veiled)),
        "pass": Setting(pictures(30, 34), Mixed(noisy)),
    },
    "neighbors": by_share(*HIDDEN["neighbors"]),
    "stand-ins": by_share(*HIDDEN["stand-ins"]),
    "bare layers": {
        status: Setting(pictures(marked, WEAK), nn.Sequential(Cutter(), Weighted()))
        for status, marked in {"fail": 30, "warn": 2, "pass": 0}.items()
    },
    "more queries": {
        status: Setting(beside_weak_ones(marked), Mixed(wrong_at_one_place))
        for status, marked in {"fail": 20, "warn": 2, "pass": 0}.items()
    },
    "fgsm": by_share(*HIDDEN["fgsm"]),
    "noise": by_share(*HIDDEN["noise"]),
    "gray": by_share(*HIDDEN["gray"]),
    "guessing": by_share(cut, ROBUST, fail=60, warn=33, epsilon=0.5),
    "transfer": by_share(*HIDDEN["transfer"], sources=(honest,)),
    "reference": {"warn": Setting(ALL_ROBUST, reference=honest), "pass": Setting(pictures(N, WEAK), reference=honest)},
}
IMPOSSIBLE = {
    ("pixel range", "warn"): "pixels lie within [0, 1] or they do not",
    ("epsilon unit", "warn"): "so does ε",
    ("finite logits", "warn"): "one infinite logit is proof",
    ("logits", "warn"): "outputs are probabilities or they are not",
    ("reference", "fail"): "a small ε may be meant",
}


def found(name, setting):
    """What one check finds."""
    case = setting.case()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CHECKS[name](case)


def test_every_check_and_status_has_a_case_or_a_reason():
    cases = {(name, status) for name, settings in CASES.items() for status in settings}
    assert cases | set(IMPOSSIBLE) == {
        (check.name, status) for check in CHECKS.values() for status in ("fail", "warn", "pass")
    }
    assert not cases & set(IMPOSSIBLE)


@pytest.mark.parametrize(("name", "status"), [(name, status) for name, found in CASES.items() for status in found])
def test_a_check_gives_this_status(name, status):
    finding = found(name, CASES[name][status])
    assert finding.status == status, finding.measured


@pytest.mark.parametrize("name", HIDDEN)
def test_seven_of_240_images_are_enough_if_nothing_else_stands(name):
    """2.9 % of all images, and all that stands: that every one of them falls is a failure of PGD."""
    treat, gap = HIDDEN[name]
    fail = CASES[name]["fail"]
    finding = found(name, replace(fail, images=pictures(7, gap, WEAK, n=240), model=Mixed(treat)))
    assert finding.status == "fail", finding.measured
