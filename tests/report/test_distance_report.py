"""What a report says of distances: numbers from the record, and a figure in which each value is where it belongs."""

import math
import warnings
from dataclasses import replace

import pytest
from test_summary import NONE, PAT, record, sha

from atlpa.component import dump
from atlpa.errors import UserError
from atlpa.records import Distances
from atlpa.report import Results, distances_table, summary, write_report
from atlpa.report.distances import distance_curves

WHITE = record(PAT, PAT, "white", 3)


def distances(network=PAT, values=(0.0, 0.001, 0.002, 0.02, 0.04, None), norm="Linf", epsilons=(0.001, 0.01, 0.1)):
    attack = {"name": "fmn", "epsilon": epsilons[-1], "iterations": 200, "norm": norm}
    data = {**vars(WHITE.data), "count": len(values), "available": len(values)}
    shared = {name: getattr(WHITE, name) for name in ("seed", "seconds", "machine", "atlpa")}
    return Distances(
        target=network, data=data, attack=attack, epsilons=epsilons, distances=values, steps=1206, **shared
    )


def test_the_table_shows_what_the_record_holds():
    """The usual ε is 8/255, or the largest asked about; quartiles are distances of images."""
    (row,) = distances_table([distances()]).rows
    cells = [str(cell) for cell in row]
    assert cells[1:5] == ["fmn", "‖δ‖∞", "0.011 [0, inf]", "0.001 – 0.04"]
    assert cells[5] == "33.3 [9.7, 70.0] at 8/255"
    assert cells[6].startswith("83.3 [")
    assert cells[7:] == ["6", "201"]
    two = distances(values=(0.5, 2.0, None, None), norm="L2", epsilons=(0.1, 0.25, 4.0))
    assert [str(cell) for cell in distances_table([two]).rows[0]][2:6:3] == ["‖δ‖₂", "75.0 [30.1, 95.4] at 0.5"]


def test_the_figure_draws_every_share_at_its_epsilon():
    one, two = distances(), distances(NONE, norm="L2", epsilons=(0.01, 0.02, 0.05))
    figure = distance_curves([one, two])
    first, second = figure.axes
    assert [panel.get_xscale() for panel in (first, second)] == ["log", "linear"]
    curve, dot = first.get_lines()
    assert curve.get_xdata() == pytest.approx([0.001, 0.01, 0.1])
    assert curve.get_ydata() == pytest.approx([4 / 6, 0.5, 1 / 6])
    assert (list(dot.get_xdata()), list(dot.get_ydata())) == (pytest.approx([0.011]), [0.5])
    assert [panel.get_xlabel() for panel in (first, second)] == ["ε, largest ‖δ‖∞", "ε, largest ‖δ‖₂"]
    (legend,) = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == [
        "none resnet18 (83.3 % clean)",
        "pat resnet18 (83.3 % clean)",
    ]
    assert first.collections  # the band


@pytest.mark.parametrize("count", [1, 9])
def test_networks_are_told_apart(count):
    own = [replace(PAT, seed=seed, weights=sha(str(seed))) for seed in range(count)]
    (panel,) = distance_curves([distances(network) for network in own]).axes
    looks = {(line.get_color(), line.get_linestyle()) for line in panel.get_lines() if line.get_linestyle() != "None"}
    assert len(looks) == count


def test_a_report_of_distances_alone(tmp_path):
    """Table, figure and page, and in no form a warning."""
    results = Results.of({tmp_path / "one.json": distances(), tmp_path / "two.json": distances(NONE)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = write_report(results, tmp_path / "report")
    assert "**How far images are from others that fool the network**" in text
    assert "3 ε from 0.001 to 0.1 (Linf), fmn, iterations 200" in text
    assert {"distances.png", "distances.svg", "distances.tex", "index.html"} <= {
        path.name for path in (tmp_path / "report").iterdir()
    }
    assert "2 curves over ε" in (tmp_path / "report" / "index.html").read_text()
    assert "0.011 [0, inf]" in summary(results)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"values": (0.2,)}, "a distance is 0.2, but the largest of the epsilons is 0.1"),
        ({"epsilons": (0.01, 0.001, 0.1)}, "the epsilons do not ascend"),
        ({"epsilons": (0.0, 0.1)}, "the epsilons start at 0"),
        ({"norm": "L1"}, "its norm is 'L1', known are Linf, L2"),
        ({"norm": ["L2"]}, "its norm is"),
        ({"epsilons": (0.5, 1.5), "values": (None,)}, r"its epsilon 1.5 is outside \[0, 1\]"),
        ({"values": (-0.1,)}, "greater than or equal to 0"),
        ({"values": (math.inf,)}, "finite"),
    ],
)
def test_records_that_contradict_themselves(change, words):
    with pytest.raises(ValueError, match=words):
        distances(**change)


def test_a_record_is_read_back(tmp_path):
    own = distances()
    own.save(tmp_path / "one.json")
    assert Distances.load(tmp_path / "one.json") == own
    assert own.bounds[-1] == math.inf
    assert own.standing(0.002) == "000111"
    with pytest.raises(UserError, match=r"data\.count is 6"):
        Distances.of(tmp_path / "one.json", {**dump(own), "distances": [0.1]})
