"""The tolerances of the checks against their record: honest networks, overstated ones, and the committed verdicts."""

import csv
import re
from pathlib import Path

import pytest

from atlpa.evaluation.checks.evidence import ADAPTIVE_TOLERANCE, TOLERANCE, broken_status
from atlpa.records import Credibility

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "credibility.md").read_text(encoding="utf-8")
RECORDS = [Credibility.load(path) for path in sorted(DOCS.glob("results/**/credibility-*.json"))]
TOLERATED = dict.fromkeys(("margin", "dlr", "targeted", "worst case"), ADAPTIVE_TOLERANCE) | dict.fromkeys(
    ("restarts", "fgsm", "noise", "gray", "gradient-free", "transfer"), TOLERANCE
)
COMPARED = re.compile(r"([\d.]+) % → ([\d.]+) % of (\d+)")
with (DOCS / "results" / "credibility" / "fastat.csv").open(encoding="utf-8") as lines:
    FASTAT = list(csv.DictReader(lines))
HONEST = ("pgd_at", "pgd_at_wa", "free_at")
IMAGES = 10000  # of each test set


def fallen(finding):
    """How many stood before and after, of a finding that compares two attacks."""
    before, after, n = COMPARED.search(finding.measured).groups()
    return tuple(round(float(share) * int(n) / 100) for share in (before, after))


def drawn(record):
    return any("the model draws" in finding.measured for finding in record.findings)


DETERMINISTIC = [record for record in RECORDS if not drawn(record)]
DIGITS = [record for record in DETERMINISTIC if record.data.dataset == "digits"]


def compared(records):
    """Every comparison of deterministic networks that was made: the finding, what stood before and after."""
    found = [finding for record in records for finding in record.findings if finding.check in TOLERATED]
    return [(finding, *fallen(finding)) for finding in found if COMPARED.search(finding.measured)]


def test_the_committed_verdicts_are_those_of_the_rule():
    """What was measured says how many fell, so each status can be found again."""
    assert len(compared(DETERMINISTIC)) >= 200
    for finding, before, after in compared(DETERMINISTIC):
        assert finding.status == broken_status(before - after, None, before, TOLERATED[finding.check]), finding


def test_no_honest_network_of_ours_fails():
    assert not [finding for record in DETERMINISTIC for finding in record.findings if finding.status == "fail"]


@pytest.mark.parametrize(
    ("weaker", "stronger", "tolerance", "overstating"),
    [
        ("pgd_20", "pgd_50", TOLERANCE, {("cifar10", "elle"), ("cifar100", "nu_at")}),
        (
            "pgd_50",
            "autoattack",
            ADAPTIVE_TOLERANCE,
            {("cifar10", "elle"), ("cifar100", "nu_at"), ("tiny-imagenet", "fgsm_pco")},
        ),
    ],
)
def test_published_networks_fail_only_where_the_number_was_overstated(weaker, stronger, tolerance, overstating):
    failing = set()
    for network in FASTAT:
        before, after = (round(float(network[attack]) / 100 * IMAGES) for attack in (weaker, stronger))
        if broken_status(max(0, before - after), None, before, tolerance) == "fail":
            failing.add((network["dataset"], network["method"]))
    assert failing == overstating


def range_of(networks, weaker, stronger):
    """The smallest and the largest share in percent that falls."""
    shares = [100 * (1 - float(network[stronger]) / float(network[weaker])) for network in networks]
    return f"{min(shares):.0f} to {max(shares):.0f} %"


def test_the_page_gives_these_shares():
    row = next(line for line in PAGE.splitlines() if "free and averaged PGD" in line)
    for name, dataset in (("CIFAR-10", "cifar10"), ("CIFAR-100", "cifar100"), ("Tiny-ImageNet", "tiny-imagenet")):
        honest = [n for n in FASTAT if n["dataset"] == dataset and n["method"] in HONEST]
        assert f"{name} {range_of(honest, 'pgd_50', 'autoattack')}" in row
    for label, records in (
        ("Flowers-17", [r for r in DETERMINISTIC if r.data.dataset == "flowers17" and r.epsilon < 0.1]),
        ("digits, four PAT", [r for r in DIGITS if f"eps{r.epsilon:g}-" in r.target.run]),
        ("digits, one of them", [r for r in DIGITS if f"eps{r.epsilon:g}-" not in r.target.run]),
    ):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {label}"))
        for tolerance in (TOLERANCE, ADAPTIVE_TOLERANCE):
            found = [(b - a, b) for finding, b, a in compared(records) if TOLERATED[finding.check] == tolerance]
            broken, before = max(found, key=lambda pair: pair[0] / pair[1])
            assert (f"at most {broken} of {before}" if broken else f"nothing in {len(found)} comparisons") in row
