"""Figures 1, 5 and 6: images, their adversarial versions, and what networks attend to. Drawn from pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from atlpa.report.escape import figure_text

Overlays = Mapping[str, np.ndarray]
"""Stage → normalized maps ``(N, H, W)``."""


def stages_figure(clean: np.ndarray, adversarial: np.ndarray, on_clean: Overlays, on_adversarial: Overlays) -> Figure:
    """Fig. 1: of one network, each image and its adversarial version with the attention map of every stage.

    Args:
        clean: ``(N, H, W, 3)`` in [0, 1].
        adversarial: the same images attacked.
        on_clean: the maps on the clean images.
        on_adversarial: those on the adversarial ones.
    """
    stages = list(on_clean)
    figure, panels = _panels(2 * len(clean), 2 + len(stages))
    for number in range(len(clean)):
        for row, (image, maps, kind) in enumerate(
            ((clean[number], on_clean, "clean"), (adversarial[number], on_adversarial, "adversarial"))
        ):
            line = panels[2 * number + row]
            line[0].imshow(image)
            line[0].set_ylabel(kind, fontsize=9)
            _perturbation(line[1], adversarial[number] - clean[number] if row else np.zeros_like(image))
            for panel, stage in zip(line[2:], stages, strict=True):
                drawn = _overlay(panel, image, maps[stage][number])
    for panel, title in zip(panels[0], ("image", "perturbation", *stages), strict=True):
        panel.set_title(figure_text(title), fontsize=10)
    figure.colorbar(drawn, ax=panels, label="attention, normalized by image", shrink=0.5, pad=0.01)
    return figure


def defenses_figure(
    clean: np.ndarray, adversarial: np.ndarray, maps: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Figure:
    """Fig. 5 and 6: of several networks, the attention map of one stage on the same images, clean and adversarial.

    Args:
        clean: ``(N, H, W, 3)`` in [0, 1].
        adversarial: the same images attacked.
        maps: network → its maps on clean and on adversarial images ``(N, H, W)``.
    """
    figure, panels = _panels(2 * len(clean), 2 + len(maps))
    for number in range(len(clean)):
        for row, image in enumerate((clean[number], adversarial[number])):
            line = panels[2 * number + row]
            line[0].imshow(image)
            line[0].set_ylabel(("clean", "adversarial")[row], fontsize=9)
            _perturbation(line[1], adversarial[number] - clean[number] if row else np.zeros_like(image))
            for panel, both in zip(line[2:], maps.values(), strict=True):
                drawn = _overlay(panel, image, both[row][number])
    for panel, title in zip(panels[0], ("image", "perturbation", *maps), strict=True):
        panel.set_title(figure_text(title), fontsize=9)
    figure.colorbar(drawn, ax=panels, label="attention, normalized by image", shrink=0.5, pad=0.01)
    return figure


def _panels(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(1.5 * columns + 0.9, 1.5 * rows + 0.3), layout="constrained")
    panels: np.ndarray = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
    return figure, panels


def _perturbation(panel: Axes, change: np.ndarray) -> None:
    """Around mid-gray, with the largest change at black or white."""
    largest = np.abs(change).max() or 1.0
    panel.imshow(0.5 + 0.5 * change / largest)
    panel.set_xlabel(f"‖δ‖∞ {np.abs(change).max():.3f}", fontsize=7)


def _overlay(panel: Axes, image: np.ndarray, attention: np.ndarray) -> AxesImage:
    """The map in color over the image in gray."""
    panel.imshow(image.mean(axis=2), cmap="gray", vmin=0, vmax=1)
    drawn: AxesImage = panel.imshow(attention, cmap="inferno", alpha=0.65, vmin=0, vmax=1)
    return drawn
