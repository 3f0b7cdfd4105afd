"""Wilson's interval against SciPy's, and the spread over draws."""

import math
import statistics

import numpy as np
import pytest
from scipy.stats import binomtest

from atlpa.statistics import bootstrap, by_seed, share


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 340), (170, 340), (339, 340), (76, 152)])
def test_wilson_interval(hits, n):
    actual = share(["1" * hits + "0" * (n - hits)])
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert actual.value == hits / n
    assert (actual.low, actual.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert actual.n == n
    assert actual.spread is None


def test_draws_are_averaged_and_their_spread_shown():
    draws = ["1" * hits + "0" * (40 - hits) for hits in (20, 22, 30)]
    actual = share(draws)
    assert actual.value == pytest.approx(0.6)
    assert actual[:4] == pytest.approx(share(["1" * 24 + "0" * 16])[:4])
    assert actual.spread == pytest.approx(statistics.stdev([0.5, 0.55, 0.75]))
    assert str(actual) == "60.0 ± 13.2 [44.6, 73.7]"


def test_as_tables_show_it():
    assert str(share(["1" * 170 + "0" * 170])) == "50.0 [44.7, 55.3]"  # ±5.3 points on the 340 test flowers


def test_bootstrap_against_what_is_known():
    """Of one image set and equal seeds the interval is the binomial one; of two equal defenses it holds zero."""
    rng = np.random.default_rng(1)
    verdicts = np.repeat(rng.random((1, 400)) < 0.3, 3, axis=0).astype(float)
    mean, low, high, _ = bootstrap(verdicts)
    error = math.sqrt(mean * (1 - mean) / 400)
    assert mean == pytest.approx(verdicts.mean())
    assert low == pytest.approx(mean - 1.96 * error, abs=0.01)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.01)
    none, low, high, p = bootstrap(verdicts, verdicts)
    assert none == low == high == 0
    assert p == 1


def test_bootstrap_sees_that_seeds_differ():
    """Seeds at 0, 50 and 100 %: however many images, the mean of three seeds says little."""
    seeds = np.array([[0.0] * 5000, [0.5] * 5000, [1.0] * 5000])
    mean, low, high, _ = bootstrap(seeds)
    assert mean == 0.5
    # Three draws from {0, 1/2, 1} are all 0, or all 1, with probability 1/27 each: the 95 % interval holds both.
    assert (low, high) == pytest.approx((0, 1))
    *_, p = bootstrap(np.ones((3, 50)), np.zeros((3, 50)))
    assert p < 0.001


def test_draws_of_a_network_are_averaged_before_seeds():
    found = by_seed([("1100", "1000"), ("0000", "0001")])
    assert found.tolist() == [[1, 0.5, 0, 0], [0, 0, 0, 0.5]]
    with pytest.raises(ValueError, match="the same images"):
        bootstrap(np.ones((3, 5)), np.ones((3, 6)))
