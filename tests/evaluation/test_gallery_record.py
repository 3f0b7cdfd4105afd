"""The record of the gallery: what is claimed of the judge follows from the images that it holds."""

import json

import pytest

from atlpa.evaluation.checks.evidence import TOLERANCE, broken_status
from benchmarks.gallery import FILE
from benchmarks.gallery_page import PAGE, drawn
from tests.gallery.broken import BROKEN
from tests.gallery.honest import HONEST

RECORD = json.loads(FILE.read_text())
NETWORKS = RECORD["networks"]
POINTS = 0.03


def standing(network, *beginnings):
    """Which images stand under all attacks whose names begin so."""
    masks = [mask for name, mask in network["standing"].items() if name.startswith(beginnings)]
    return [all(mask[image] == "1" for mask in masks) for image in range(RECORD["images"])]


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if not network["draws"]])
def test_the_judge_lies_at_most_three_points_above_the_strongest_attack(name):
    network = NETWORKS[name]
    judge, strongest = sum(standing(network, "fast", "rival")), sum(standing(network, ""))
    assert (judge, strongest) == (network["left"]["fast and rivals"], network["left"]["strongest"])
    assert judge - strongest <= POINTS * RECORD["images"]


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if network["draws"]])
def test_so_it_does_of_networks_that_draw(name):
    """There it is the number that the judge reports, and that of each attack is a mean over as many draws."""
    network = NETWORKS[name]
    means = network["means"]
    assert means.keys() == network["standing"].keys()
    assert min(means.values()) == network["left"]["strongest"]
    assert network["judged"] - min(means.values()) <= POINTS * RECORD["images"]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name in HONEST])
def test_rivals_accuse_no_honest_network(name):
    """On an honest network the attacks by hand are plain ones, on itself."""
    before = standing(NETWORKS[name], "pgd", "by hand")
    after = standing(NETWORKS[name], "pgd", "by hand", "rival")
    assert broken_status(sum(before) - sum(after), None, sum(before), TOLERANCE) != "fail"


def test_the_checks_fail_what_is_broken_and_nothing_that_is_honest():
    """Of fifteen kinds thirteen, at one strength or both; the others draw, or lose little to any attack."""
    fails = {name for name, network in NETWORKS.items() if "fail" in network["findings"].values()}
    assert not fails & set(HONEST)
    assert set(BROKEN) - fails == {
        "misleading backward pass, 1",
        *("stochastic pruning, 2", "stochastic pruning, 0.5", "noise on the logits, 0.5"),
        *("one step training at 0.12", "one step training at 0.16", "top 64 features"),
    }


def test_the_table_of_the_page_is_current():
    text = PAGE.read_text()
    assert text == drawn(text), "run python -m benchmarks.gallery_page"
    (row,) = [line for line in text.splitlines() if line.startswith("| k winners take all, 5 % ")]
    masks = NETWORKS["k winners take all, 5 %"]["standing"]
    assert row.split("|")[3].strip() == f"{100 * masks['clean'].count('1') / RECORD['images']:.0f}"


def test_it_holds_networks_of_the_gallery_alone():
    assert set(NETWORKS) <= {*BROKEN, *HONEST}
    assert all(network["honest"] == (name in HONEST) for name, network in NETWORKS.items())
