"""The pictures of the pages on concepts, drawn from numbers: ``python -m website.figures``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

from atlpa.records import Bound, Evaluation
from atlpa.statistics import share
from website.links import REPOSITORY

matplotlib.rcParams["svg.hashsalt"] = "atlpa"  # the same drawing, the same file

FOLDER = REPOSITORY / "docs" / "concepts" / "figures"
RECORDS = REPOSITORY / "docs" / "results" / "digits-certified" / "ibp-small_cnn-seed0" / "records"

# Okabe and Ito's colors, which color-blind eyes tell apart.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#8C8C8C"


def between_bounds(records: Path = RECORDS) -> dict[str, float]:
    """Of one network at ε 0.1, in percent: what is certified, what two attacks leave, and what is right clean."""
    attacks = {path.name.split("-")[1]: Evaluation.load(path) for path in records.glob("white-*-eps0.1-*.json")}
    (bound,) = (Bound.load(path) for path in records.glob("bound-crown-eps0.1-*.json"))
    assert bound.certified is not None
    left = {name: share(record.budgets[-1].correct).value for name, record in attacks.items()}
    shares = {
        "certified by linear bounds": share([bound.certified]).value,
        "left by the ensemble": left["ensemble"],
        "left by PGD alone": left["pgd"],
        "right without an attack": share([bound.clean]).value,
    }
    return {name: 100 * value for name, value in shares.items()}


def draw_bounds(found: Mapping[str, float], path: Path) -> None:
    """Four bars, and the gap in which the truth lies."""
    figure, axes = plt.subplots(figsize=(7.2, 2.6), layout="constrained")
    low, high = list(found.values())[:2]
    axes.axvspan(low, high, color=GRAY, alpha=0.3, linewidth=0, zorder=0)
    axes.text((low + high) / 2, -0.72, "robust accuracy\nlies here", ha="center", va="bottom", fontsize=8)
    for row, (value, color) in enumerate(zip(found.values(), (GREEN, ORANGE, ORANGE, BLUE), strict=True)):
        axes.barh(row, value, 0.62, color=color, alpha=1 if row != 2 else 0.55)
        axes.text(value + 0.8, row, f"{value:.1f}", va="center", fontsize=9)
    axes.set_yticks(range(len(found)), list(found), fontsize=9)
    axes.set(xlim=(0, 100), ylim=(3.5, -1.6), xlabel="% of 360 images of digits, ε = 0.1")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def draw_reach(path: Path) -> None:
    """To which values a pixel may be moved, at three ε."""
    figure, panels = plt.subplots(1, 3, figsize=(7.2, 2.7), layout="constrained", sharey=True)
    x = np.linspace(0, 1, 201)
    for axes, epsilon, title in zip(panels, (8 / 255, 0.25, 0.5), ("ε = 8/255", "ε = 0.25", "ε = 0.5"), strict=True):
        axes.fill_between(
            x, np.clip(x - epsilon, 0, 1), np.clip(x + epsilon, 0, 1), color=BLUE, alpha=0.35, linewidth=0
        )
        axes.plot(x, x, color=BLUE, linewidth=1)
        if epsilon == 0.25:
            axes.plot(x, 0.25 + x / 2, color=ORANGE, linewidth=1.6)
            axes.text(0.04, 0.86, "half of the contrast", color=ORANGE, fontsize=8)
        if epsilon == 0.5:
            axes.axhline(0.5, color=ORANGE, linewidth=1.6)
            axes.text(0.58, 0.53, "constant gray", color=ORANGE, fontsize=8)
        axes.set(title=title, xlim=(0, 1), ylim=(0, 1), xlabel="pixel", xticks=(0, 0.5, 1), aspect="equal")
    panels[0].set(ylabel="within reach", yticks=(0, 0.5, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    draw_bounds(between_bounds(), FOLDER / "bounds.svg")
    draw_reach(FOLDER / "reach.svg")
