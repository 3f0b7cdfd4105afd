"""Wilson's interval against its closed form."""

import math

import pytest

from atlpa.statistics import share


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 340), (170, 340), (339, 340), (76, 152)])
def test_wilson_interval(hits, n):
    z, p = 1.959963984540054, hits / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    actual = share("1" * hits + "0" * (n - hits))
    assert actual.value == p
    assert actual.low == pytest.approx(max(middle - half, 0), abs=1e-12)
    assert actual.high == pytest.approx(min(middle + half, 1), abs=1e-12)
    assert actual.n == n


def test_as_tables_show_it():
    assert str(share("1" * 170 + "0" * 170)) == "50.0 [44.7, 55.3]"  # ±5.3 points on the 340 test flowers
