"""Three sentences that say what was found, and nothing that the records do not."""

from dataclasses import replace

from test_summary import ATLPA, BLACK, NONE, PAT, record, sha

from atlpa.records import Credibility, Finding
from atlpa.report.findings import findings
from atlpa.report.results import Results


def said(*records, checks=()):
    return [found.text for found in findings(Results(records, checks=checks))]


def test_who_stands_and_by_how_much():
    first, _, third = (*said(record(NONE, NONE, "white", 0), record(PAT, PAT, "white", 30)), "", "")[:3]
    assert first == (
        "White-box at ε = 0.25, pat resnet18 keeps most: 30.0 % [21.9, 39.6] of 100 images under pgd; "
        "a guess is right in 5.9 %."
    )
    assert third == ""


def test_a_lead_by_chance_is_none():
    others = [replace(PAT, defense=name, weights=sha(name)) for name in ("fd", "rat")]
    near, far = (record(network, network, "white", right) for network, right in zip(others, (28, 8), strict=True))
    *_, last = said(record(PAT, PAT, "white", 30), near, far)
    assert last == (
        "pat resnet18 (white-box) leads 2 other networks, over fd resnet18 by no more than chance "
        "(exact McNemar test, Holm's correction)."
    )
    *_, last = said(record(PAT, PAT, "white", 30), far)
    assert "leads 1 other network by more than chance" in last


def test_the_best_is_not_named_without_what_its_checks_say():
    records = [record(NONE, NONE, "white", 0), best := record(PAT, PAT, "white", 30)]
    fail, passed = (
        Finding(check=name, status=status, measured="1", expected="0", source="-", advice="look")
        for name, status in (("noise", "fail"), ("margin", "pass"))
    )

    def check(finding, target, epsilon=0.25):
        common = {"data": best.data, "seed": 0, "seconds": 1.0, "machine": best.machine, "atlpa": "0"}
        return Credibility(target=target, epsilon=epsilon, findings=(finding,), **common)

    doubt = check(fail, PAT)
    first, *_ = findings(Results(records, checks=[doubt]))
    assert first.text.endswith("a guess is right in 5.9 %; its checks say fail: noise.")
    assert first.check is doubt
    elsewhere = [check(fail, NONE), check(fail, PAT, 0.5), check(passed, PAT)]
    for checks in ([], elsewhere):
        first, *_ = said(*records, checks=checks)
        assert first.endswith("a guess is right in 5.9 %.")


def test_sentences_lead_to_where_they_are_read_from():
    white, gray = record(PAT, PAT, "white", 30), record(PAT, NONE, "gray", 60)
    stands, transfer, *_ = findings(Results([white, record(NONE, NONE, "white", 0), gray]))
    assert (stands.table, stands.record) == ("table1", white)
    assert (transfer.table, transfer.record) == ("transfer", gray)


def test_where_nothing_stands_transfer_is_told_for_what_it_is():
    first, second, third = said(
        *(record(network, network, "white", 2) for network in (PAT, ATLPA)),
        *(record(network, NONE, "gray", right) for network, right in ((PAT, 40), (ATLPA, 60))),
        record(ATLPA, BLACK, "black", 46),
    )
    assert first == (
        "White-box at ε = 0.25 no network keeps more than guessing does (5.9 %): the best, pat resnet18, "
        "2.0 % [0.6, 7.0] under pgd."
    )
    assert second == (
        "Images made on another network leave up to 60.0 % (atlpa resnet18, gray, ε = 0.25), and those made on "
        "itself 2.0 %: transfer is an upper bound, no robustness."
    )
    assert third.startswith("atlpa resnet18 (gray, ε = 0.25) leads 1 other network")


def test_without_a_white_box_attack_nothing_is_said_of_robustness():
    assert said(record(PAT, NONE, "gray", 40)) == [
        "No network was attacked itself, so nothing here says how robust one is."
    ]


def test_distances_are_white_box_too():
    found = Results([], distances=[object()])
    assert findings(found) == []
