"""The figures of docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

matplotlib.rcParams["svg.hashsalt"] = "atlpa"  # the same drawing, the same file

# Okabe and Ito's colors, which color-blind eyes tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"


def draw_ratios(parts: Mapping[str, Mapping[str, Sequence[float]]], folder: Path) -> None:
    """How many times faster than the fastest peer: median bars, with the smallest and largest round."""
    figure, axes = plt.subplots(figsize=(8, 0.62 * len(parts) + 1.1), layout="constrained")
    for offset, (name, color) in enumerate((("atlpa fp32", BLUE), ("atlpa bf16", ORANGE))):
        for row, times in enumerate(parts.values()):
            middle = statistics.median(times[name])
            ends = [[middle - min(times[name])], [max(times[name]) - middle]]
            where = row + 0.38 * (offset - 0.5)
            axes.barh(where, middle, 0.36, color=color, label=name if row == 0 else None)
            axes.errorbar(middle, where, xerr=ends, color="black", capsize=2, linewidth=0.8)
            axes.text(max(times[name]) * 1.06, where, f"{middle:.1f}", va="center", fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="times faster than the fastest peer (logarithmic)")
    axes.set_yticks(range(len(parts)), list(parts), fontsize=8)
    axes.set_xlim(0.8, axes.get_xlim()[1] * 1.4)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    figure.savefig(folder / "ratios.svg", metadata={"Date": None})
    plt.close(figure)


def draw_growth(curves: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Cost against each size on doubly logarithmic axes, with the line that is proportional to it."""
    figure, grid = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
    for axes, (title, curve) in zip(grid.flat, curves.items(), strict=False):
        sizes = curve["sizes"]
        for name, color, marker in (("fp32", BLUE, "o"), ("bf16", ORANGE, "s")):
            if name in curve:
                axes.plot(sizes, curve[name], marker + "-", color=color, label=name, markersize=4)
        start = curve["fp32"][-1]
        axes.plot(
            sizes, [start * (s / sizes[-1]) ** curve["power"] for s in sizes], ":", color="gray", label=curve["line"]
        )
        axes.set(xscale="log", yscale="log", xlabel=curve["unit"], ylabel=curve["measure"], title=title)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(folder / "growth.svg", metadata={"Date": None})
    plt.close(figure)
