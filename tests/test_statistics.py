"""Wilson's interval against SciPy's, the spread over draws, and what several seeds can tell."""

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test, ttest_ind
from scipy.stats import t as student

from atlpa.statistics import at_least, at_most, by_seed, median, over_images, over_seeds, share, share_among, smallest_p


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


def test_among_images_that_are_right_clean():
    """Clean errors count for nothing, and neither does what an attack sets right by chance."""
    found = share_among(["1" * 30 + "0" * 20 + "1" * 7], ["1" * 50 + "0" * 7])
    expected = binomtest(30, 50).proportion_ci(method="wilson")
    assert (found.value, found.n) == (0.6, 50)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    both = share_among(["1100", "0001"], ["1110", "0011"])
    assert both.value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert both.n == 2
    assert both.spread == pytest.approx(statistics.stdev([2 / 3, 1 / 2]))
    assert share_among(["11", "11"], ["11", "00"]) is None
    with pytest.raises(ValueError, match=r"shorter|longer"):
        share_among(["11"], ["111"])


def test_as_tables_show_it():
    assert str(share(["1" * 170 + "0" * 170])) == "50.0 [44.7, 55.3]"  # ±5.3 points on the 340 test flowers


def test_networks_that_agree_leave_only_the_images_open():
    """Agresti and Coull's interval, with Student's t; of two that are the same, zero, and never without doubt."""
    verdicts = np.tile(np.arange(400) < 120, (3, 1)).astype(float)
    actual = over_seeds(verdicts)
    center = 122 / 404
    half = student.ppf(0.975, 403) * math.sqrt(center * (1 - center) / 403)
    assert actual[:3] == pytest.approx((0.3, center - half, center + half))
    none, low, high, p = over_seeds(verdicts, verdicts)
    assert (none, p) == (0, 1)
    assert -0.01 < low < 0
    assert high == pytest.approx(-low)
    nothing = over_seeds(np.zeros((3, 340)))
    assert nothing[:2] == (0, 0)
    assert nothing.high == pytest.approx(share(["0" * 340]).high, abs=0.005)


def test_many_images_leave_only_the_seeds_open():
    """Welch's t-test of the seeds' accuracies, as SciPy has it."""
    accuracies = np.array([0.31, 0.35, 0.40]), np.array([0.22, 0.30, 0.24, 0.33, 0.29])
    first, second = (np.tile(own[:, None], (1, 100_000)) for own in accuracies)
    expected = ttest_ind(*accuracies, equal_var=False)
    actual = over_seeds(first, second)
    assert actual.p == pytest.approx(expected.pvalue, rel=1e-3)
    assert actual[1:3] == pytest.approx(tuple(expected.confidence_interval()), abs=1e-4)


def networks(random, counts, spread, shift=0.0, n=340):
    """Verdicts of two defenses whose seeds, images and taste in images vary; ``shift`` parts them (probit scale)."""
    easy = random.normal(size=n)
    for count, mean in zip(counts, (0.0, *[-shift] * (len(counts) - 1)), strict=True):
        seeds, taste = spread * random.normal(size=(count, 1)), 0.5 * random.normal(size=n)
        yield (mean + seeds + easy + taste + random.normal(size=(count, n)) > 0).astype(float)


TRIALS = 500


def upper(rate):
    """What so many trials may show where the rate is this."""
    return rate + 2.5 * math.sqrt(rate * (1 - rate) / TRIALS)


@pytest.mark.parametrize("counts", [(3, 3), (3, 5), (5, 5)])
@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_false_alarms_are_as_rare_as_said(counts, spread):
    """Of defenses that do not differ, on images drawn anew: p < 0.05 in 5 %, p < 0.001 all but never."""
    random = np.random.default_rng(0)
    found = [over_seeds(*networks(random, counts, spread)) for _ in range(TRIALS)]
    assert np.mean([one.p < 0.05 for one in found]) <= upper(0.05)
    assert np.mean([one.p < 0.001 for one in found]) <= upper(0.001)
    assert [one.p < 0.05 for one in found] == [not one.low <= 0 <= one.high for one in found]


@pytest.mark.parametrize("counts", [(1, 3), (1, 3, 3), (1, 1, 3, 2), (2, 3, 3, 3)])
@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_few_seeds_among_others_that_vary_alike(counts, spread):
    """Of defenses that do not differ, the interval leaves zero out in 5 %."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(TRIALS):
        every = list(networks(random, counts, spread))
        found.append(over_seeds(every[0], every[-1], every))
    assert np.mean([not one.low <= 0 <= one.high for one in found]) <= upper(0.05)


def test_others_that_vary_alike_say_more_than_two_seeds():
    random = np.random.default_rng(0)
    drawn = [list(networks(random, (2, 3, 3, 3), 0.3)) for _ in range(100)]
    alone = [over_seeds(every[0], every[1]) for every in drawn]
    among = [over_seeds(every[0], every[1], every) for every in drawn]
    assert [one.value for one in among] == [one.value for one in alone]
    assert np.median([one.high - one.low for one in among]) < np.median([one.high - one.low for one in alone])


def test_two_networks_on_the_same_images():
    """Agresti and Min's interval: four images more, one for each pair of answers."""
    both, first, second, none = 120, 40, 22, 158
    ours, theirs = np.repeat([[1, 1, 0, 0], [1, 0, 1, 0]], (both, first, second, none), axis=1).astype(float)
    actual = over_images(ours[None], theirs[None])
    n, one, other = 344, first + 1, second + 1
    center, variance = (one - other) / n, ((one + other) - (one - other) ** 2 / n) / n / (n - 1)
    half = student.ppf(0.975, n - 1) * math.sqrt(variance)
    assert actual[:3] == pytest.approx((18 / 340, center - half, center + half))
    with pytest.raises(ValueError, match="340 and 339 images"):
        over_images(ours[None], theirs[None, 1:])


def test_a_single_seed_alone():
    with pytest.raises(ValueError, match="a single seed does not show how much seeds vary"):
        over_seeds(np.ones((1, 5)), np.ones((1, 5)), [np.ones((1, 5))] * 2)


def test_a_large_difference_is_found_with_five_seeds():
    """Twenty points, among seeds that vary by three."""
    random = np.random.default_rng(0)
    found = [over_seeds(*networks(random, (5, 5), 0.15, shift=0.8)) for _ in range(200)]
    assert np.mean([one.value for one in found]) == pytest.approx(0.2, abs=0.02)
    assert np.mean([one.p < 0.05 for one in found]) > 0.9


@pytest.mark.parametrize(("count", "spread"), [(3, 0.0), (3, 0.15), (5, 0.15), (5, 0.5)])
def test_the_interval_of_a_mean_covers_it(count, spread):
    """The accuracy on all images, of all seeds, is 1/2 here: the scale is symmetric."""
    random = np.random.default_rng(0)
    found = [over_seeds(next(networks(random, (count, count), spread))) for _ in range(TRIALS)]
    assert np.mean([not one.low <= 0.5 <= one.high for one in found]) <= upper(0.05)


@pytest.mark.parametrize(("seeds", "others"), [(3, 3), (3, 5), (5, 5)])
def test_the_smallest_p_of_an_exact_test(seeds, others):
    """SciPy's permutation test of seeds that are as far apart as can be."""
    apart = np.arange(seeds) + 100.0, np.arange(others)
    exact = permutation_test(apart, lambda one, other: one.mean() - other.mean(), n_resamples=np.inf)
    assert smallest_p(seeds, others) == pytest.approx(exact.pvalue)


def test_draws_of_a_network_are_averaged_before_seeds():
    found = by_seed([("1100", "1000"), ("0000", "0001")])
    assert found.tolist() == [[1, 0.5, 0, 0], [0, 0, 0, 0.5]]
    with pytest.raises(ValueError, match="the same images"):
        over_seeds(np.ones((3, 5)), np.ones((3, 6)))


@pytest.mark.parametrize("n", [1, 5, 6, 10, 71, 340])
def test_the_median_lies_between_the_order_statistics_that_say_so(n):
    """P(low < median of all < high) is a sum of binomial coefficients, at least 95 %, and less one rank further in."""
    found = median([float(rank) for rank in range(1, n + 1)])
    assert found.value == (n + 1) / 2

    def coverage(k):
        return sum(math.comb(n, i) for i in range(k, n - k + 1)) / 2**n

    if n < 6:
        assert (found.low, found.high) == (0, math.inf)
        assert coverage(1) < 0.95
    else:
        k = int(found.low)
        assert found.high == n + 1 - k
        assert coverage(k) >= 0.95 > coverage(k + 1)


def test_medians_of_images_that_nothing_fells():
    assert median([0.0, math.inf, math.inf])[:1] == (math.inf,)
    assert str(median([0.0, 0.5, *6 * [1.0], math.inf, math.inf])) == "1 [0.5, inf]"


@pytest.mark.parametrize("chance", [0.0, 0.03, 0.5, 1.0])
@pytest.mark.parametrize("of", [0, 1, 7, 40])
def test_tails_are_sums_of_the_terms(of, chance):
    terms = [math.comb(of, k) * Fraction(chance) ** k * (1 - Fraction(chance)) ** (of - k) for k in range(of + 1)]
    for count in range(-1, of + 1):
        assert at_most(count, of, chance) == pytest.approx(float(sum(terms[: count + 1])), abs=1e-12)
        assert at_least(count, of, chance) == pytest.approx(float(sum(terms[max(count, 0) :])), abs=1e-12)
