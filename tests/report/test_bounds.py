"""Certified columns in reports: beside white-box, image by image, from made-up records whose numbers are known."""

import json
from dataclasses import replace

import pytest
from test_summary import NONE, PAT, record

from atlpa.cli.report import main
from atlpa.component import dump
from atlpa.errors import UserError
from atlpa.records import Bound, read
from atlpa.report import Results, summary


def bound(target, certified, epsilon=0.25, **changes):
    """A record of the images of ``record``."""
    like = record(target, target, "white", 30)
    fields = {
        "target": target,
        "data": like.data,
        "method": "crown",
        "epsilon": epsilon,
        "clean": like.clean[0],
        "certified": certified,
        "seed": 0,
        "seconds": 1.0,
        "machine": like.machine,
        "atlpa": "0",
    }
    return Bound(**{**fields, **changes})


@pytest.fixture
def pat():
    """An attack that leaves 30 of 100 images, and a bound that certifies 10 of those."""
    attack = record(PAT, PAT, "white", 30)
    standing = attack.budgets[-1].correct[0]
    first = [place for place, verdict in enumerate(standing) if verdict == "1"]
    certified = "".join("1" if place in first[:10] else "0" for place in range(len(standing)))
    return attack, bound(PAT, certified)


def cells(text, title):
    """The rows of a section's table."""
    lines = text.partition(f"**{title}")[2].split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]


def test_the_column_stands_behind_white_box_at_the_same_epsilon(pat):
    attack, certified = pat
    text = summary(Results([attack, replace(attack, attack={**attack.attack, "epsilon": 0.5})], bounds=[certified]))
    header, _, row = cells(text, "Accuracy under attack")[:3]
    assert header[2:5] == ["white 0.25", "certified 0.25", "white 0.5"]
    assert row[3].startswith("10.0 [")


def test_the_gap_is_counted_on_what_stands_under_all_attacks(pat):
    """A second attack that fells five more of the uncertified leaves 25, and so 15 points."""
    attack, certified = pat
    standing = attack.budgets[-1].correct[0]
    open_places = [p for p, pair in enumerate(zip(standing, certified.certified, strict=True)) if pair == ("1", "0")]
    fewer = "".join("0" if place in open_places[:5] else verdict for place, verdict in enumerate(standing))
    stronger = replace(
        attack,
        attack={**attack.attack, "name": "ensemble"},
        budgets=(replace(attack.budgets[-1], correct=(fewer,)),),
        steps=None,
    )
    _, _, row = cells(summary(Results([attack, stronger], bounds=[certified])), "Between two bounds")
    assert row[1:3] == ["0.25", "crown"]
    assert row[4].startswith("10.0 [")
    assert row[5].startswith("25.0 [")
    assert row[6:9] == ["ensemble, pgd", "15.0", "100"]


def test_what_certifies_nothing_says_nothing(pat):
    attack, certified = pat
    text = summary(Results([attack], bounds=[replace(certified, certified="0" * 100)]))
    assert cells(text, "Accuracy under attack")[2][3] == "says nothing"
    assert cells(text, "Between two bounds")[2][4] == "says nothing"


def test_a_network_without_a_bound_says_why(pat):
    attack, certified = pat
    obstacle = "no bound is known of Softmax (head): none in atlpa.bounds.rules"
    text = summary(Results([attack], bounds=[replace(certified, certified=None, obstacle=obstacle)]))
    assert cells(text, "Accuracy under attack")[2][3] == "no bound"
    assert cells(text, "Between two bounds")[2][7] == "–"
    assert "No bound: pat resnet18: no bound is known of Softmax (head)" in text


@pytest.mark.parametrize("epsilon", [0.25, 0.3])
def test_a_certified_image_that_fell_refutes_the_bound(pat, epsilon):
    """Within its ε, whatever the attack's own; a number that is contradicted is not printed."""
    attack, _ = pat
    wrong = bound(PAT, attack.clean[0], epsilon)
    text = summary(Results([attack], bounds=[wrong]))
    fell = attack.clean[0].count("1") - 30
    assert f"refuted: {fell} fell" in text
    assert cells(text, "Between two bounds")[2][7] == "–"
    larger = replace(attack, attack={**attack.attack, "epsilon": 0.5})
    assert "refuted" not in summary(Results([larger], bounds=[wrong]))


def test_other_images_and_other_networks_are_no_evidence(pat):
    attack, certified = pat
    other = replace(attack, data=replace(attack.data, digest="0" * 64))
    _, _, row = cells(summary(Results([other], bounds=[certified])), "Between two bounds")
    assert row[5:8] == ["–", "–", "–"]
    text = summary(Results([attack, record(NONE, NONE, "white", 0)], bounds=[certified]))
    rows = {row[0]: row for row in cells(text, "Accuracy under attack")[2:]}
    assert rows["none resnet18"][3] == "–"


def test_the_better_of_two_bounds_is_shown(pat):
    attack, certified = pat
    intervals = replace(certified, method="ibp", certified="0" * 100)
    text = summary(Results([attack], bounds=[certified, intervals]))
    assert cells(text, "Accuracy under attack")[2][3].startswith("10.0 [")
    assert [row[2] for row in cells(text, "Between two bounds")[2:]] == ["crown", "ibp"]


def test_bounds_are_read_back_and_reported_by_the_command(pat, tmp_path, capsys):
    attack, certified = pat
    attack.save(tmp_path / "records" / "white.json")
    certified.save(tmp_path / "records" / "bound.json")
    assert read(tmp_path / "records" / "bound.json") == certified
    assert main([str(tmp_path / "records"), "--output", str(tmp_path / "out")]) == 0
    assert "certified 0.25" in capsys.readouterr().out
    assert (tmp_path / "out" / "bounds.tex").is_file()
    assert '<section id="bounds">' in (tmp_path / "out" / "index.html").read_text()
    (tmp_path / "records" / "white.json").unlink()
    assert main([str(tmp_path / "records")]) == 0
    assert "Between two bounds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"certified": "1" * 99}, "verdicts on 99 images, but data.count is 100"),
        ({"clean": "0" * 100}, "an image is certified, but wrong clean"),
        ({"obstacle": "Softmax"}, "verdicts, or an obstacle"),
        ({"certified": None}, "verdicts, or an obstacle"),
        ({"method": "lp"}, "method"),
        ({"epsilon": 2.0}, "epsilon"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(pat, changes, words, tmp_path):
    (tmp_path / "bound.json").write_text(json.dumps({**dump(pat[1]), **changes}))
    with pytest.raises(UserError, match=words):
        read(tmp_path / "bound.json")
