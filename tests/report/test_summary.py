"""Tables drawn from records: beside the paper, what is more than chance, and the command that needs no torch."""

import hashlib
import itertools
import json
import re
import subprocess
import sys
from dataclasses import replace
from math import comb

import pytest

from atlpa.cli.report import main
from atlpa.records import Budget, EvaluatedImages, Evaluation, Machine, Network
from atlpa.report import (
    Results,
    accuracy_curves,
    beside_paper,
    protocol,
    published,
    significance,
    summary,
    threat_table,
)
from atlpa.report.seed_statistics import defense_differences, seed_statistics
from atlpa.statistics import holm, mcnemar


def sha(name):
    """What stands for a network's weights, or a data set's content."""
    return hashlib.sha256(name.encode()).hexdigest()


NONE = Network(run="runs/none", defense="none", architecture="resnet18", seed=0, weights=sha("n"))
PAT = Network(run="runs/pat", defense="pat", architecture="resnet18", seed=0, weights=sha("p"))
ATLPA = Network(run="runs/atlpa", defense="atlpa", architecture="resnet18", seed=0, weights=sha("a"))
BLACK = Network(run="runs/none34", defense="none", architecture="resnet34", seed=0, weights=sha("b"))


FILES = {f"{name}.{kind}" for name in ("curves", "trade-off") for kind in ("png", "svg")} | {
    "table.md",
    "table.csv",
    "index.html",
}
FILES |= {"table1.tex", "table1-paper.tex", "transfer.tex", "significance.tex"}


def record(target, source, threat, right, epsilon=0.25, n=100, dataset="flowers17"):
    """One evaluation in which the first images of n are right."""
    verdicts = ("1" * right + "0" * (n - right),)
    data = EvaluatedImages(dataset=dataset, part="test", count=n, available=340, classes=17, size=64, digest=sha("d"))
    attack = {"name": "pgd", "epsilon": epsilon, "step": 1 / 256, "start": "zero", "loss": "cross_entropy"}
    return Evaluation(
        target=target,
        source=source,
        threat=threat,
        data=data,
        attack={**attack, "restarts": 1, "eot": 1, "fixed_draws": False},
        seed=0,
        clean=("1" * n,),
        budgets=(Budget(iterations=200, correct=verdicts, linf_max=0.25, linf_mean=0.2, at_bound=0.5),),
        seconds=1.0,
        steps=1,
        machine=Machine(device="CPU", threads=2, torch="2", python="3"),
        atlpa="0",
    )


@pytest.fixture
def records():
    return [
        record(NONE, NONE, "white", 0),
        record(PAT, PAT, "white", 30),
        record(ATLPA, ATLPA, "white", 4),
        record(PAT, NONE, "gray", 40),
        record(ATLPA, NONE, "gray", 60),
        *(record(target, BLACK, "black", right) for target, right in ((NONE, 10), (PAT, 45), (ATLPA, 46))),
    ]


def test_an_attack_that_moved_nothing_is_named(records):
    (moved, *others), (budget,) = records, records[0].budgets
    still = replace(moved, budgets=(replace(budget, linf_max=0.0, linf_mean=0.0, at_bound=0.0),))
    assert "moved no image of none resnet18 at ε 0.25" in " ".join(protocol([still, *others]).split())
    wrong = replace(still, clean=("0" * 100,))
    sent = replace(still, target=PAT, threat="gray")
    for innocent in (moved, sent, replace(still, attack={**still.attack, "epsilon": 0.0}), wrong):
        assert "moved no image" not in protocol([innocent, *others])


def test_published_table_is_the_papers():
    table = published(1)
    assert len(table) == 2 * 9 * 4
    assert table["flowers17", "atlpa", "gray", 0.25] == 69
    assert table["flowers17", "atlpa", "black", 0.5] == 48
    assert table["bmw10", "none", "gray", 0.5] == 6
    assert sum(table.values()) == 2152  # of the columns as printed


def test_beside_the_paper(records):
    table = beside_paper(records)
    assert list(table.columns)[1:3] == ["gray 0.25 paper / ours", "black 0.25 paper / ours"]
    rows = {row[0]: tuple(map(str, row[1:])) for row in table.rows}
    assert rows["atlpa"] == ("69 / 60.0", "70 / 46.0", "4.0", "no better than guessing white-box")
    assert rows["pat"] == ("55 / 40.0", "57 / 45.0", "30.0", "stands white-box")
    assert rows["none"][0] == "0 / 0.0"  # its gray-box source is itself
    assert beside_paper([record(PAT, PAT, "white", 30, dataset="digits")]) is None


def test_mcnemar_counts_all_outcomes():
    """p is the chance, under equal odds, of a split of the disagreements at least as uneven."""
    first, second = "1111111100000111", "1111100111111110"
    disagree = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    ours = sum(a == "1" for a, _ in disagree)
    outcomes = [sum(toss) for toss in itertools.product((0, 1), repeat=len(disagree))]
    uneven = sum(abs(2 * heads - len(disagree)) >= abs(2 * ours - len(disagree)) for heads in outcomes)
    assert mcnemar(first, second) == pytest.approx(uneven / len(outcomes))
    assert mcnemar("1" * 10 + "0" * 5, "0" * 15) == pytest.approx(2 * comb(10, 0) / 2**10)
    assert mcnemar("101", "101") == 1
    with pytest.raises(ValueError, match="the same images"):
        mcnemar("1", "11")


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4]) == [0.4]
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_significance_within_a_column(records):
    table = significance(records)
    assert list(table.columns) == ["atlpa resnet18 against", "white 0.25", "gray 0.25", "black 0.25"]
    rows = {row[0]: tuple(map(str, row[1:])) for row in table.rows}
    assert rows["pat resnet18"][1] == "+20.0 (p < 0.001)"
    assert rows["pat resnet18"][2] == "+1.0 (p 1.000)"
    assert rows["pat resnet18"][0] == "-26.0 (p < 0.001)"
    # 4 images against none: two-sided 2 · 2⁻⁴ = 0.125, the larger of two, so uncorrected.
    assert rows["none resnet18"] == ("+4.0 (p 0.125)", "–", "+36.0 (p < 0.001)")
    assert significance(records[:2]) is None


def test_every_network_has_a_line_of_its_own():
    networks = [replace(NONE, defense=f"d{n}", weights=sha(str(n))) for n in range(14)]
    figure = accuracy_curves([record(network, network, "white", n) for n, network in enumerate(networks)])
    lines = [line for line in figure.axes[0].get_lines() if not line.get_label().startswith("_")]
    assert len(lines) == 15  # and guessing
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}) == 15


@pytest.fixture
def folder(records, tmp_path):
    for number, one in enumerate(records):
        one.save(tmp_path / "records" / f"{number}.json")
    return tmp_path / "records"


def test_the_command_works_without_torch(folder, tmp_path):
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
from atlpa.cli.report import main
sys.exit(main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", code, str(folder), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "no better than guessing white-box" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert done.stdout.startswith((tmp_path / "out" / "table.md").read_text())


def test_what_cannot_be_read_is_named_and_counted(folder, capsys):
    (folder / "broken.json").write_text("{")
    newer = json.loads((folder / "0.json").read_text())
    (folder / "newer.json").write_text(json.dumps({**newer, "version": 99}))
    assert main([str(folder)]) == 0
    errors = capsys.readouterr().err
    assert "broken.json is no readable record" in errors
    assert "newer.json has record version 99" in errors
    assert "2 of 10 records could not be read" in errors


def test_bad_input_is_one_line(folder, tmp_path, capsys):
    def refused(*arguments):
        assert main(list(map(str, arguments))) == 2
        return capsys.readouterr().err.splitlines()[-1]

    (tmp_path / "empty").mkdir()
    assert "no evaluation record in" in refused(tmp_path / "empty")
    record(PAT, NONE, "gray", 41).save(folder / "again.json")
    line = refused(folder)
    assert "two measurements of pat resnet18 under attack 'gray 0.25', which differ in nothing but" in line
    record(PAT, NONE, "gray", 41, n=90).save(folder / "again.json")
    assert "which differ in images (100 and 90); leave one of them out" in refused(folder)
    (folder / "again.json").unlink()
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(folder, "--output", tmp_path / "file" / "out")


def of_seeds(count, right, source=NONE, threat="gray"):
    """Of several defenses, the networks of so many seeds under one attack, each an image better than the last."""
    return [
        record(replace(network, seed=seed, weights=sha(f"{network.weights}{seed}")), source, threat, n + seed)
        for network, n in right.items()
        for seed in range(count)
    ]


def test_three_seeds_speak_of_defenses(records):
    """Networks of three seeds are put together by their defense; with two there is nothing to say."""
    seeds = of_seeds(3, {PAT: 40, ATLPA: 60})
    assert seed_statistics(records) is None
    assert defense_differences(seeds[:5]) is None
    table = seed_statistics(seeds)
    assert [row[0] for row in table.rows] == ["pat resnet18, 3 seeds", "atlpa resnet18, 3 seeds"]
    assert table.columns == ("defense", "clean", "gray 0.25")
    assert [[cell.split()[0] for cell in row[1:]] for row in table.rows] == [["100.0", "41.0"], ["100.0", "61.0"]]
    (row,) = defense_differences(seeds).rows
    assert row[0] == "pat resnet18, 3 seeds"
    assert row[1].startswith("+0.0 [")
    assert re.fullmatch(r"\+20\.0 \[\+1\d\.\d, \+2\d\.\d\] \(too few seeds to tell\)", row[2])
    assert "these two defenses each," in summary(Results(seeds))
    assert "these two defenses each," not in summary(Results(records))


def test_seeds_beside_the_paper_are_a_mean_and_what_is_missing_is_said():
    whites = of_seeds(3, {PAT: 40}, NONE, "gray")
    whites += [record(one.target, one.target, "white", 4 + one.target.seed) for one in whites]
    ((name, gray, black, white, verdict),) = beside_paper([*whites, record(whites[0].target, BLACK, "black", 30)]).rows
    assert (name, gray, black, white) == ("pat, 3 seeds", "55 / 41.0", "57 / 30.0 (1 of 3)", "5.0")
    assert verdict == "no better than guessing white-box"
    lucky = [record(one.target, one.target, "white", n) for one, n in zip(whites, (40, 40, 5), strict=False)]
    assert beside_paper(lucky).rows[0][-2:] == ("28.3", "2 of 3 seeds stand white-box")
    standing = [record(one.target, one.target, "white", 30) for one in whites[:3]]
    assert beside_paper(standing).rows[0][-1] == "stands white-box"
    missing = [*whites[:3], standing[0]]
    assert beside_paper(missing).rows[0][-2:] == ("30.0 (1 of 3)", "1 of 3 seeds stand white-box")


def test_an_undefended_networks_gray_cell_is_white_or_transfer_and_no_mean_of_both():
    none, other = (replace(NONE, seed=seed, weights=sha(f"none {seed}")) for seed in (0, 1))
    whites = [record(none, none, "white", 0), record(other, other, "white", 0)]
    rows = beside_paper([*whites, record(other, none, "gray", 60), record(PAT, none, "gray", 40)]).rows
    assert rows[0][:2] == ("none, 2 seeds", "0 / 0.0 (1 of 2)")


def test_networks_are_compared_with_those_of_their_seed():
    """They met the images of its source networks; of a defense without one of that seed with all that there are."""
    both = of_seeds(2, {PAT: 40, ATLPA: 60})
    assert [row[0] for row in significance(both).rows] == ["pat resnet18"]
    apart = [one for one in both if (one.target.defense == "pat") == (one.target.seed == 1)]
    assert [row[0] for row in significance(apart).rows] == ["pat resnet18 seed 1"]
    igr = of_seeds(2, {replace(NONE, defense="igr"): 10})
    assert [row[0] for row in significance([*apart, *igr]).rows] == ["igr resnet18", "pat resnet18 seed 1"]


def test_a_training_of_which_fewer_were_judged_is_there_too_and_says_so():
    """One network's row is that of Table 1; the mean of two speaks of these two, with an interval over images alone."""
    three = of_seeds(3, {PAT: 40})
    alone = record(replace(ATLPA, seed=2), NONE, "gray", 60)
    whites = [record(one.target, one.target, "white", 10 + 4 * n) for n, one in enumerate(three[:2])]
    everything = [*three, alone, *whites]
    pat, atlpa = seed_statistics(everything).rows
    assert atlpa == tuple(map(str, next(row for row in threat_table(everything).rows if row[0] == atlpa[0])))
    assert pat[0] == "pat resnet18, 3 seeds"
    value, low, high, count = re.fullmatch(r"(\S+) \[(\S+), (\S+)\] (\(\d of \d\))", pat[2]).groups()
    assert (value, count) == ("12.0", "(2 of 3)")
    # The same images fell for both but four: the error is nearly that of one network with 12 of 100, not of 200 images.
    assert float(high) - float(low) == pytest.approx(2 * 1.96 * 3.3, abs=1)
    one = seed_statistics([*three, alone, whites[0]]).rows[0][2]
    assert one == f"{threat_table([whites[0]]).rows[0][2]} (1 of 3)"


def test_seeds_that_were_judged_on_other_images_are_no_mean():
    """Each figure is drawn, each network by itself; what was judged on fewer images too counts with the most."""
    three = of_seeds(3, {PAT: 40, ATLPA: 60})
    fewer = [record(one.target, one.target, "white", 20, n=60) for one in three[:3]]
    rows = {row[0]: row[1:] for row in seed_statistics([*three, fewer[0]]).rows}
    assert [cell.split()[0] for cell in rows["pat resnet18, 3 seeds"]] == ["100.0", "33.3", "41.0"]
    (against,) = defense_differences([*three, *fewer]).rows
    assert [cell.split()[0] for cell in against[1:]] == ["+0.0", "+20.0"]
    alone = [one for one in three if one.target.defense == "atlpa"]
    (against,) = defense_differences(
        [*alone, *fewer, *(record(one.target, one.target, "white", 50) for one in alone)]
    ).rows
    assert against[1:] == ("–", "–", "–")[: len(against) - 1]
    assert (
        seed_statistics(
            [one if n else replace(one, data=replace(one.data, digest=sha("e"))) for n, one in enumerate(three[:3])]
        )
        is None
    )


def test_trainings_of_two_studies_that_are_called_the_same_are_two():
    """Their seeds are not put together where one is there twice; a training whose seeds lie apart is one."""
    here = of_seeds(3, {PAT: 40})

    def elsewhere(number, seed):
        target = replace(here[number].target, run=f"runs/other/pat-{seed}", seed=seed, weights=sha(f"other {seed}"))
        return replace(here[number], target=target)

    both = [*here, *(elsewhere(number, number) for number in range(3))]
    first, second = seed_statistics(both).rows
    assert first[0].endswith(", 3 seeds")
    assert second[0] == "pat resnet18 other, 3 seeds"
    assert first[0] != second[0]
    (row,) = seed_statistics([*here, elsewhere(0, 7)]).rows
    assert row[0] == "pat resnet18, 4 seeds"


def test_no_p_is_smaller_than_so_many_seeds_allow():
    """Five against five: 2 of 252 orders are as extreme; what has three seeds takes no part in Holm's correction."""
    five = of_seeds(5, {PAT: 20, ATLPA: 60})
    (row,) = defense_differences(five).rows
    assert row[2].endswith("(p 0.008)")
    rows = {row[0]: row[2] for row in defense_differences([*five, *of_seeds(3, {NONE: 21})]).rows}
    assert rows["pat resnet18, 5 seeds"] == row[2]
    assert rows["none resnet18, 3 seeds"].endswith("(p 0.036)")
    three = [one for one in of_seeds(4, {PAT: 20, ATLPA: 60}) if one.target.seed < 3 or one.target.defense == "pat"]
    assert defense_differences(three).rows[0][2].endswith("(too few seeds to tell)")


def test_transfer_says_from_where(records):
    """Two sources that are neither undefended nor of the judged defense are two columns, in every table and figure."""
    alp, twin = (replace(PAT, defense="alp", weights=sha(w), seed=s) for w, s in (("x", 0), ("y", 1)))
    both = [record(target, source, "transfer", n) for target in (PAT, ATLPA) for source, n in ((alp, 20), (twin, 50))]
    everything = [*records, *both]
    titles = ["transfer from alp resnet18 0.25", "transfer from alp resnet18 seed 1 0.25"]
    table = threat_table(everything)
    assert list(table.columns)[-2:] == titles
    assert [str(cell).split()[0] for cell in table.rows[1][-2:]] == ["20.0", "50.0"]
    assert list(threat_table(records).columns) == list(table.columns)[:-2]
    assert list(significance(everything).columns)[-2:] == titles
    assert [panel.get_title() for panel in accuracy_curves(everything).axes][-2:] == [t[:-5] for t in titles]
    assert "which tables name" in protocol(everything)
    assert "which tables name" not in protocol(records)
    assert beside_paper(everything).rows == beside_paper(records).rows
    seeds = of_seeds(3, {PAT: 40}, alp, "transfer") + of_seeds(3, {PAT: 20}, twin, "transfer")
    assert [cell.split()[0] for cell in seed_statistics(seeds).rows[0][2:]] == ["41.0", "21.0"]
    with pytest.raises(ValueError, match=r"under attack 'transfer from alp resnet18 0\.25', which differ"):
        threat_table([*everything, replace(both[0], seed=1)])


def test_an_undefended_network_is_known_by_its_part_not_by_its_name():
    """Gray-box attacks are made on it, so that its own is white-box; a defended one named ``none`` is not it."""
    plain, none = (replace(NONE, defense=name, weights=sha(w)) for name, w in (("plain", "q"), ("none", "z")))
    records = [record(plain, plain, "white", 5), record(none, none, "white", 7), record(PAT, plain, "gray", 9)]
    cells = {row[0]: str(row[-1]) for row in threat_table(records).rows}
    assert cells == {"plain resnet18": "= white", "none resnet18": "–", "pat resnet18": cells["pat resnet18"]}
    assert {row[0]: str(row[1]) for row in beside_paper(records).rows} == {
        "none": "0 / –",
        "plain": "– / 5.0",
        "pat": "55 / 9.0",
    }
