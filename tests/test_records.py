"""Records: read back as written, refused in one line when they cannot be."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from atlpa.component import dump
from atlpa.errors import UserError
from atlpa.records import Budget, EvaluatedImages, Evaluation, Machine, Network
from atlpa.report import accuracy_curves, each_accuracy, protocol, threat_table, tidy


def sha(name):
    """What stands for a network's weights, or a data set's content."""
    return hashlib.sha256(name.encode()).hexdigest()


def network(defense="pat", architecture="resnet18", weights="a", seed=0):
    return Network(run="runs/x", defense=defense, architecture=architecture, seed=seed, weights=sha(weights))


def evaluation(target, source, threat, epsilon=0.25, correct="1100", clean="1110"):
    budgets = tuple(
        Budget(iterations=n, correct=(verdicts,), linf_max=0.25, linf_mean=0.2, at_bound=0.5)
        for n, verdicts in ((10, clean), (200, correct))
    )
    return Evaluation(
        target=target,
        source=source,
        threat=threat,
        data=EvaluatedImages(
            dataset="digits", part="test", count=4, available=359, classes=10, size=32, digest=sha("d")
        ),
        attack={
            "name": "pgd",
            "epsilon": epsilon,
            "step": 1 / 256,
            "start": "zero",
            "loss": "cross_entropy",
            "restarts": 1,
            "eot": 1,
            "fixed_draws": False,
        },
        seed=0,
        clean=(clean,),
        budgets=budgets,
        seconds=2.0,
        steps=800,
        machine=Machine(device="CPU", threads=2, torch="2", python="3"),
        atlpa="0",
    )


@pytest.fixture
def records():
    none, pat, black = network("none", weights="n"), network(), network("none", "resnet34", "b")
    return [
        evaluation(pat, pat, "white", correct="0000"),
        evaluation(pat, none, "gray"),
        evaluation(pat, black, "black", correct="1110"),
        evaluation(none, none, "white", correct="0000"),
        evaluation(none, black, "black", correct="0001", clean="1111"),
    ]


def test_round_trip(records, tmp_path):
    path = tmp_path / "records" / "one.json"
    records[0].save(path)
    assert Evaluation.load(path) == records[0]
    assert [file.name for file in path.parent.iterdir()] == ["one.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "record version 3, this atlpa reads up to 2; update it"),
        ({"clean": ["10x"]}, "clean.0: String should match"),
        ({"clean": ["10", "1"]}, "every draw must judge the same images"),
        ({"kind": "training"}, "kind: Input should be 'evaluation'"),
        ({"cleen": "1"}, "did you mean 'clean'"),
    ],
)
def test_what_cannot_be_read_is_said(records, tmp_path, change, message):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**dump(records[0]), **change}))
    with pytest.raises(UserError, match=message) as caught:
        Evaluation.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["", '{"version": 2', "[]"])
def test_damaged_records_are_named(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"record\.json"):
        Evaluation.load(path)


def test_threat_table(records):
    """Rows in the paper's order, the last budget, and gray-box on its own source named for what it is."""
    table = threat_table(records)
    assert table.columns == ["network", "clean", "white 0.25", "gray 0.25", "black 0.25"]
    first, second = ([str(cell) for cell in row] for row in table.rows)
    assert first == ["none resnet18", "75.0 [30.1, 95.4]", "0.0 [0.0, 49.0]", "= white", "25.0 [4.6, 69.9]"]
    assert second[0] == "pat resnet18"
    assert [cell.split()[0] for cell in second[1:]] == ["75.0", "0.0", "50.0", "75.0"]


def test_two_sources_for_one_cell_are_refused(records):
    other = evaluation(records[0].target, network("none", "resnet50", "c"), "black")
    with pytest.raises(ValueError, match=r"two measurements of pat resnet18 under attack 'black 0\.25'"):
        threat_table([*records, other])


def test_another_attack_is_another_column(records):
    """The ensemble beside PGD at the same ε; and each of its stages has felled images that fell, and no others."""
    one = replace(records[0], budgets=records[0].budgets[-1:], attack={"name": "ensemble", "epsilon": 0.25})
    judged = replace(one, felled_by={"apgd-ce": (0, 2), "square": (1,)})
    table = threat_table([*records, judged])
    assert table.columns[2:] == ["white 0.25", "white (ensemble) 0.25", "gray 0.25", "black 0.25"]
    assert [str(row[3]) for row in table.rows] == ["–", "0.0 [0.0, 49.0]"]
    further = evaluation(records[0].target, records[0].target, "white", epsilon=0.5)
    beside = threat_table([*records, judged, further]).columns[2:5]
    assert beside == ["white 0.25", "white (ensemble) 0.25", "white 0.5"]
    for wrong in ({"apgd-ce": (0, 2)}, {"apgd-ce": (0, 1, 2, 3)}, {"apgd-ce": (0, 1, 2), "square": (1,)}):
        with pytest.raises(ValueError, match="but other ones fell"):
            replace(one, felled_by=wrong)


def test_networks_that_would_be_called_the_same_are_told_apart(records):
    twin = replace(network(weights="t"), run="runs/twin")
    names = [row[0] for row in each_accuracy([*records[:1], evaluation(twin, twin, "white")]).rows]
    assert set(names) == {"runs/x", "runs/twin"}


def test_markdown_is_aligned(records):
    lines = threat_table(records).markdown().splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].startswith("| ---")
    assert lines[1].endswith("-: |")


def test_every_budget_has_its_row(records):
    table = each_accuracy(records[:1])
    assert [row[4] for row in table.rows] == [10, 200]
    assert table.rows[1][5].value == 0


def test_curves_show_every_budget_of_every_network(records):
    figure = accuracy_curves(records)
    panels = dict(zip(("white", "gray", "black"), figure.axes, strict=True))
    (line,) = [line for line in panels["gray"].get_lines() if line.get_label() == "pat resnet18"]
    assert line.get_xdata().tolist() == [0, 10, 200]
    assert line.get_ydata().tolist() == [0.75, 0.75, 0.5]
    for threat in ("white", "black"):
        *curves, guessing = panels[threat].get_lines()
        assert {line.get_label() for line in curves} == {"none resnet18", "pat resnet18"}
        assert guessing.get_ydata() == [1 / records[0].data.classes] * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["none resnet18", "pat resnet18", "guessing"]


def test_tidy_holds_plain_numbers(records):
    header, *rows = tidy(records).csv().splitlines()
    assert len(rows) == 10
    row = dict(zip(header.split(","), rows[3].split(","), strict=True))
    assert (row["defense"], row["threat"], row["source_defense"], row["iterations"]) == (
        "pat",
        "gray",
        "none",
        "200",
    )
    assert float(row["accuracy"]) == 0.5
    assert float(row["low95"]) == pytest.approx(0.150, abs=1e-3)


def test_protocol_names_what_was_done(records):
    text = protocol(records)
    for words in (
        "4 of 359 test images of digits at 32×32",
        "zero start",
        "step 0.003906",
        "200 iterations",
        "Wilson",
    ):
        assert words in text


BLOCK_TORCH = """
import sys

class Block:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
"""


def test_reports_need_no_torch(records, tmp_path):
    records[0].save(tmp_path / "record.json")
    code = (
        f"{BLOCK_TORCH}\nfrom pathlib import Path\nfrom atlpa.records import Evaluation\n"
        "from atlpa.report import threat_table\n"
        f"print(threat_table([Evaluation.load(Path({str(tmp_path / 'record.json')!r}))]).markdown())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pat resnet18" in done.stdout
