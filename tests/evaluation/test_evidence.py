"""The rule that judges what another attack breaks: how often it errs, and that it speaks wherever something stands."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import beta

from atlpa.evaluation.checks.evidence import ADAPTIVE_TOLERANCE, TOLERANCE, broken_status, compare_masks, too_few

TOLERANCES = (TOLERANCE, ADAPTIVE_TOLERANCE)


def probability(k, n, rate):
    """Of k among n, by its definition."""
    return math.comb(n, k) * rate**k * (1 - rate) ** (n - k)


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("standing", [5, 12, 33, 79, 256])
def test_an_honest_network_fails_one_time_in_a_hundred_at_most(tolerance, standing):
    """Enumerated at the tolerance itself, the worst of what is honest."""
    fails = [broken_status(broken, None, standing, tolerance) == "fail" for broken in range(standing + 1)]
    assert sum(probability(k, standing, tolerance) for k in range(standing + 1) if fails[k]) <= 0.01
    assert fails == sorted(fails), "more that falls cannot be better"


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("standing", [5, 7, 28, 79, 256])
def test_it_fails_where_the_clopper_pearson_bound_lies_above_the_tolerance(tolerance, standing):
    """And where seven images fall: fewer may all lie at the border."""
    for broken in range(1, standing + 1):
        lowest = beta.ppf(0.01, broken, standing - broken + 1)
        assert (broken_status(broken, None, standing, tolerance) == "fail") == (lowest > tolerance and broken >= 7)


@pytest.mark.parametrize(
    ("tolerance", "paired", "most"),
    [(TOLERANCE, False, 6), (TOLERANCE, True, 6), (ADAPTIVE_TOLERANCE, False, 6), (ADAPTIVE_TOLERANCE, True, 11)],
)
def test_whatever_stands_can_fail_or_is_said_to_be_too_little(tolerance, paired, most):
    """Of 256 images as of 10 000: only what stands counts."""
    assert too_few(0, tolerance, paired)
    few = [standing for standing in range(1, 300) if too_few(standing, tolerance, paired)]
    assert few == list(range(1, most + 1))
    for standing in range(1, 300):
        status = broken_status(standing, 0 if paired else None, standing, tolerance)
        assert status == ("skip" if standing in few else "fail")


@pytest.mark.parametrize("tolerance", TOLERANCES)
def test_half_of_the_tolerance_is_a_warning_and_one_image_is_none(tolerance):
    half = round(1200 * tolerance / 2)
    assert [broken_status(broken, None, 1200, tolerance) for broken in (0, half, half + 1)] == ["pass", "pass", "warn"]
    assert broken_status(1, None, 10, TOLERANCE) == "pass"
    paired = [broken_status(broken, 3, 1200, tolerance) for broken in (half + 4, 2 * half + 3, 2 * half + 4)]
    assert paired == ["pass", "pass", "warn"], "chance may account for half of the tolerance"


@pytest.mark.parametrize("standing", [40, 120])
@pytest.mark.parametrize(("tolerance", "chance"), [(TOLERANCE, 0.1), (TOLERANCE, 0.3), (ADAPTIVE_TOLERANCE, 0.1)])
def test_a_network_that_draws_is_not_accused_of_its_chance(standing, tolerance, chance):
    """Simulated: as many images change sides by chance in either direction, and the tolerated share falls beside."""
    generator = np.random.default_rng(0)
    fails = 0
    for _ in range(2000):
        mended = generator.binomial(standing, chance)
        broken = min(standing, generator.binomial(standing, chance) + generator.binomial(standing, tolerance))
        fails += broken_status(broken, mended, standing, tolerance) == "fail"
    assert fails / 2000 <= 0.02


def test_what_it_says_is_counted():
    before, after = torch.zeros(20, dtype=torch.bool), torch.zeros(20, dtype=torch.bool)
    before[:12], after[8:15] = True, True
    assert compare_masks(before, after, TOLERANCE, paired=True)[1] == "60.0 % → 35.0 % of 20: 8 of 12 fall, 3 come back"
    assert compare_masks(before, before & after, TOLERANCE, paired=False) == (
        "fail",
        "60.0 % → 20.0 % of 20: 8 of 12 fall",
    )
    assert compare_masks(~before & after, after, ADAPTIVE_TOLERANCE, False) == (
        "skip",
        "15.0 % → 35.0 % of 20, too few to tell",
    )
