"""Wilson's interval against SciPy's, and the spread over draws."""

import statistics

import pytest
from scipy.stats import binomtest

from atlpa.statistics import share


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
