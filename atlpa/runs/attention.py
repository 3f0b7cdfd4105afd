"""Attention figures of several runs, on the same images (Fig. 1, 5 and 6)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from atlpa.analysis import attention_maps, comparison_stage, overlay_maps
from atlpa.data.images import InMemory
from atlpa.evaluation import attacked
from atlpa.evaluation.correctness import generators
from atlpa.files import atomic_folder
from atlpa.report import save
from atlpa.report.attention_figures import defenses_figure, stages_figure
from atlpa.runs.evaluation_images import EvaluationImages
from atlpa.runs.folder import Run


def attention_figures(shown_images: EvaluationImages, count: int) -> dict[str, Figure]:
    """One figure of all stages for each run, and one of all runs side by side, on gray-box images at the first ε.

    Where no gray-box source lies beside a run, its adversarial images are its own (white-box).

    Args:
        shown_images: the runs and their images.
        count: how many images are shown, evenly spaced.
    """
    total = len(shown_images.items)
    rows = torch.tensor([number * total // count for number in range(min(count, total))])
    clean = shown_images.clean[0][rows]
    figures, compared = {}, {}
    names = [run.experiment.defense.name for run in shown_images.runs]
    for run in shown_images.runs:
        adversarial = _attacked(shown_images, run, rows)
        (on_clean, stage), (on_adversarial, _) = (
            _overlays(shown_images, run, some, rows) for some in (clean, adversarial)
        )
        figures[f"attention-{run.folder.name}"] = stages_figure(
            _pixels(clean), _pixels(adversarial), on_clean, on_adversarial
        )
        called = run.experiment.defense.name
        name = called if names.count(called) == 1 else run.folder.name
        compared[name] = (on_clean[stage], on_adversarial[stage])
    if len(compared) > 1:
        figures["attention"] = defenses_figure(
            _pixels(clean), _pixels(_attacked(shown_images, shown_images.runs[0], rows)), compared
        )
    return figures


def save_attention(shown_images: EvaluationImages, count: int, folder: Path) -> None:
    """Write the figures into a folder as PNG and SVG, all or none."""
    with atomic_folder(folder) as scratch:
        for name, figure in attention_figures(shown_images, count).items():
            save(figure, scratch / name, dpi=90)  # of few pixels anyway


def _attacked(shown_images: EvaluationImages, run: Run, rows: Tensor) -> Tensor:
    for condition, source in shown_images.of(run):
        if condition.threat == "gray":
            return shown_images.shown(condition, source)[rows]
    attack = replace(shown_images.attack, epsilon=shown_images.epsilons[0])
    images, labels = (tensor[rows] for tensor in shown_images.clean)
    return attacked(shown_images.network(run), InMemory(images, labels), attack, seed=shown_images.seed)


def _overlays(
    shown_images: EvaluationImages, run: Run, images: Tensor, rows: Tensor
) -> tuple[dict[str, np.ndarray], str]:
    """What each stage attends to, and the stage that defenses are compared by."""
    draws = generators(shown_images.seed, "analysis", rows, device=shown_images.device)
    maps = attention_maps(shown_images.network(run), images.to(shown_images.device), draws)
    size = images.shape[2], images.shape[3]
    overlays = {stage: overlay_maps(found, size).cpu().numpy() for stage, found in maps.items()}
    return overlays, comparison_stage(maps)


def _pixels(images: Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()
