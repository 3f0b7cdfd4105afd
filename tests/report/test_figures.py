"""What figures show: every value that is there, every network by a look of its own, nothing cut off."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from scipy.stats import binomtest
from test_summary import NONE, PAT, record, sha

from atlpa.report import accuracy_curves, collect
from atlpa.report.analysis_figures import landscape_figure
from atlpa.report.trade_off import trade_off
from atlpa.report.training import WINDOW, training_figure
from atlpa.statistics import by_seed, over_seeds


def log(steps, watched=()):
    """The log of a run of some steps, with what `atlpa-train` writes."""
    lines = []
    for step in range(1, steps + 1):
        accuracies = {"clean_accuracy": (step % 7) / 7, "adversarial_accuracy": (step % 5) / 5}
        lines.append(
            {"step": step, "learning_rate": 0.01, "loss": 1 / step, "terms": {"cross_entropy": 1 / step}, **accuracies}
        )
        if step in watched:
            lines.append({"step": step, "validation": {"clean_accuracy": 0.5, "adversarial_accuracy": step / 100}})
    return lines


def panel(figure, label):
    (axes,) = [axes for axes in figure.axes if axes.get_ylabel() == label]
    return axes.get_lines()


def crosses(figure, place=0):
    """The center of every cross of a panel, and half its width and height."""
    return [
        (*(line.get_xydata()[0]), *(np.ptp(bars.get_segments()[0], axis=0).max() / 2 for bars in lines))
        for line, _, lines in (container.lines for container in figure.axes[place].containers)
    ]


def test_the_trade_off_shows_the_strongest_attack_at_the_smallest_epsilon():
    weak, strong = record(PAT, PAT, "white", 60), record(PAT, PAT, "white", 40)
    other, elsewhere = record(NONE, NONE, "white", 10), record(PAT, PAT, "white", 5, 0.5)
    found = crosses(trade_off([weak, elsewhere, strong, other, record(PAT, NONE, "gray", 70)]))
    assert [(x, y) for x, y, *_ in found] == [(1, 0.1), (1, 0.4)]
    low, high = binomtest(40, 100).proportion_ci(method="wilson")
    assert found[1][-1] == pytest.approx((high - low) / 2)
    assert trade_off([strong]) is None
    assert trade_off([record(PAT, PAT, "white", 5), record(NONE, NONE, "white", 0)]) is None  # guessing


def test_the_trade_off_shows_an_epsilon_that_leaves_no_network_out():
    both = [record(PAT, PAT, "white", 40, 0.5), record(NONE, NONE, "white", 10, 0.5)]
    one_alone = record(PAT, PAT, "white", 90, 0.25)
    assert [(x, y) for x, y, *_ in crosses(trade_off([one_alone, *both]))] == [(1, 0.1), (1, 0.4)]
    every = trade_off([one_alone, *both, record(NONE, NONE, "white", 30, 0.25)])
    assert [(x, y) for x, y, *_ in crosses(every)] == [(1, 0.3), (1, 0.9)]


def test_three_seeds_are_one_cross_with_its_networks():
    networks = [replace(PAT, seed=seed, weights=sha(f"pat {seed}")) for seed in range(3)]
    records = [record(network, network, "white", 30 + 10 * network.seed) for network in networks]
    figure = trade_off([*records, record(NONE, NONE, "white", 10)])
    assert [(x, y) for x, y, *_ in crosses(figure)] == [(1, 0.1), (1, pytest.approx(0.4))]
    (dots,) = [marks for marks in figure.axes[0].collections if isinstance(marks, PathCollection)]
    assert sorted(dots.get_offsets()[:, 1].tolist()) == pytest.approx([0.3, 0.4, 0.5])


def test_validation_is_drawn_where_it_was_watched():
    clean, adversarial = panel(training_figure({"pat": log(40, (20, 40))}), "accuracy on validation part")
    assert clean.get_xdata().tolist() == adversarial.get_xdata().tolist() == [20, 40]
    assert clean.get_ydata().tolist() == [0.5, 0.5]
    assert adversarial.get_ydata().tolist() == [0.2, 0.4]
    assert clean.get_linestyle() != adversarial.get_linestyle()
    assert not [a for a in training_figure({"pat": log(40)}).axes if "validation" in a.get_ylabel()]


def test_batches_are_drawn_as_running_means():
    lines = log(100)
    (mean,) = panel(training_figure({"pat": lines}), "cross entropy, weighted")
    for step, value in zip(mean.get_xdata(), mean.get_ydata(), strict=True):
        assert value == pytest.approx(np.mean([1 / s for s in range(step - WINDOW + 1, step + 1)]))
    assert mean.get_xdata()[-1] == 100


def test_a_single_line_of_the_log_can_be_seen():
    for axes in training_figure({"pat": log(1, (1,))}).axes:
        for line in axes.get_lines():
            assert len(line.get_xdata()) == 1
            assert line.get_marker() == "o"


def whole_legend(figure):
    """The labels of a figure's legend, which lies inside the figure and outside the panels."""
    figure.draw_without_rendering()
    (legend,) = figure.legends
    extent = legend.get_window_extent()
    assert extent.x0 > -1
    assert extent.y0 >= 0
    assert extent.x1 < figure.bbox.x1 + 1
    tight = [axes.get_tightbbox() for axes in figure.axes]
    assert extent.y1 <= min(box.y0 for box in tight) + 1
    assert min(axes.get_window_extent().height for axes in figure.axes) > 100  # dots: panels were not squeezed flat
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("count", [1, 6, 11])
def test_legends_are_whole(count):
    names = [f"a_defense_of_{number}-resnet101-seed0-final" for number in range(count)]
    training = training_figure({name: log(30, (30,)) for name in names})
    assert whole_legend(training) == names
    lines = panel(training, "cross entropy, weighted")
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == count
    networks = [replace(PAT, defense=name, weights=sha(name)) for name in names]
    curves = accuracy_curves([record(network, network, "white", 50) for network in networks])
    assert len(whole_legend(curves)) == count + 1  # and guessing


def of_seeds(shares, folder="runs"):
    """Networks of PAT's of seeds 0, 1, …, right in so many percent."""
    networks = [
        replace(PAT, run=f"{folder}/pat-{seed}", seed=seed, weights=sha(f"{folder} {seed}"))
        for seed in range(len(shares))
    ]
    return [record(network, network, "white", right) for network, right in zip(networks, shares, strict=True)]


def curves(records):
    """What a figure's first panel shows of networks: what lines are called, where they end, and their colors."""
    lines = [line for line in accuracy_curves(records).axes[0].get_lines() if line.get_label() != "guessing"]
    ends = [(line.get_label(), round(float(line.get_ydata()[-1]), 6)) for line in lines]
    return ends, {line.get_color() for line in lines}


def said(records):
    """What stands in a figure's panels."""
    return [axes.texts[0].get_text() for axes in accuracy_curves(records).axes]


def test_seeds_of_a_training_share_a_look_and_three_are_a_mean():
    three = of_seeds([30, 40, 80])
    assert curves(three)[0] == [("pat resnet18", 0.5)]
    (band,) = accuracy_curves(three).axes[0].collections
    expected = over_seeds(by_seed([one.budgets[-1].correct for one in three]))
    ends = [y for x, y in band.get_paths()[0].vertices if x == 200]
    assert (min(ends), max(ends)) == pytest.approx((expected.low, expected.high))
    ends, colors = curves(of_seeds([30, 40]))
    assert ends == [("pat resnet18", 0.3), ("pat resnet18", 0.4)]
    assert len(colors) == 1
    assert whole_legend(accuracy_curves(three)) == ["pat resnet18", "guessing"]
    assert (said(three), said(of_seeds([30, 40])), said(three[:1])) == (["3 seeds"], ["2 seeds"], [""])
    gray = record(three[0].target, NONE, "gray", 20)
    assert said([*three, gray]) == ["3 seeds", "1 seed"]
    assert said([*three, record(NONE, NONE, "white", 0)]) == ["1 to 3 seeds"]
    assert said(of_seeds([30] * 11)) == ["11 seeds"]
    assert whole_legend(accuracy_curves([*three, record(NONE, PAT, "gray", 0)]))[0] == "none resnet18"  # as in Table 1


def of_other(change):
    """Three seeds of which the first was judged otherwise."""
    first, *others = of_seeds([30, 40, 80])
    return [change(first), *others]


def more_images(one):
    return record(one.target, one.target, "white", 30, n=200)


def other_images(one):
    return replace(one, data=replace(one.data, digest=sha("other")))


def other_budgets(one):
    return replace(one, budgets=(replace(one.budgets[0], iterations=100),))


@pytest.mark.parametrize("change", [more_images, other_images, other_budgets])
def test_seeds_that_were_judged_otherwise_are_no_mean(change):
    records = of_other(change)
    assert [share for _, share in curves(records)[0]] == [0.15 if change is more_images else 0.3, 0.4, 0.8]
    assert len(crosses(trade_off(records))) == 3


def test_two_sources_of_one_network_are_no_seeds():
    sources = [replace(PAT, seed=seed, weights=sha(f"source {seed}")) for seed in (1, 2, 3)]
    records = [record(PAT, source, "surrogate", right) for source, right in zip(sources, (10, 20, 30), strict=True)]
    assert [share for _, share in curves(records)[0]] == [0.1, 0.2, 0.3]


def variants(runs):
    """Of one seed and name, from these runs."""
    networks = [replace(PAT, run=run, weights=sha(f"{n}")) for n, run in enumerate(runs)]
    return [record(one, one, "white", 10 * n) for n, one in enumerate(networks, 1)]


@pytest.mark.parametrize("runs", [("a/one", "a/two", "a/three"), ("a/b/run", "c/b/run", "d/b/run"), ("a/run",) * 3])
def test_runs_of_one_seed_are_variants_and_no_seeds(runs):
    ends, colors = curves(variants(runs))
    assert [share for _, share in ends] == [0.1, 0.2, 0.3]
    assert len({name for name, _ in ends}) == len(colors) == 3
    assert len(crosses(trade_off(variants(runs)))) == 3


@pytest.mark.parametrize("folders", [("runs", "others"), ("a/runs", "b/runs")])
def test_seeds_in_two_folders_are_two_trainings(folders):
    ends, colors = curves([*of_seeds([30, 40, 80], folders[0]), *of_seeds([60, 60, 60], folders[1])])
    assert sorted(ends) == sorted([(f"pat resnet18 {folders[0]}", 0.5), (f"pat resnet18 {folders[1]}", 0.6)])
    assert len(colors) == 2


def test_guessing_is_shown():
    found = record(PAT, PAT, "white", 30)
    (axes,) = accuracy_curves([found]).axes
    (line,) = [line for line in axes.get_lines() if line.get_label() == "guessing"]
    assert set(line.get_ydata()) == {1 / found.data.classes}


def test_only_what_was_measured_has_a_panel():
    figure = accuracy_curves([record(PAT, PAT, "white", 30), record(PAT, NONE, "gray", 40)])
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == ["white-box", "gray-box"]
    figure = accuracy_curves([record(PAT, PAT, "white", 30), record(PAT, NONE, "gray", 40, epsilon=0.5)])
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["", "not measured", "not measured", ""]


def test_an_attack_of_one_iterate_is_no_curve():
    found = record(PAT, PAT, "white", 20)
    attack = {"name": "ensemble", "epsilon": 0.25}
    once = replace(found, attack=attack, budgets=(replace(found.budgets[0], iterations=1),))
    titles = [axes.get_title() for axes in accuracy_curves([found, once, record(PAT, NONE, "gray", 40)]).axes]
    assert [title.split(":")[0] for title in titles] == ["white-box", "gray-box"]
    assert [axes.get_title() for axes in accuracy_curves([once]).axes] == ["white (ensemble)"]


def test_many_landscapes_stand_below_each_other():
    """Thirteen are no wider than five, each as surface and contour, and none covers another."""
    found = collect([Path(__file__).parents[2] / "docs" / "results" / "flowers-small"]).analyses
    surfaces = [one for one in found if one.kind == "landscape"]
    figure = landscape_figure(surfaces)
    assert len(surfaces) > 10
    assert figure.get_figwidth() == landscape_figure(surfaces[:5]).get_figwidth()
    figure.canvas.draw()
    *panels, _ = figure.axes  # the last is the color bar
    assert len(panels) == 2 * len(surfaces)
    assert sum("range" in panel.get_title() for panel in panels) == len(surfaces)
    boxes = [panel.get_position() for panel in panels]
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])
