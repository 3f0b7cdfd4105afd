"""Attention figures of several runs, on the same images (Fig. 1, 5 and 6)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from atlpa.analysis import attention_maps, overlay_maps, telling_stage
from atlpa.evaluation.accuracy import generators
from atlpa.files import placing
from atlpa.report import save
from atlpa.report.gallery import defenses_figure, stages_figure
from atlpa.runs.folder import Run
from atlpa.runs.sights import Sights


def attention_figures(sights: Sights, count: int) -> dict[str, Figure]:
    """One figure of all stages for each run, and one of all runs side by side, on gray-box images at the first ε.

    Where no gray-box source lies beside a run, its adversarial images are its own (white-box).

    Args:
        sights: the runs and their images.
        count: how many images are shown, evenly spaced.
    """
    total = len(sights.items)
    rows = torch.tensor([number * total // count for number in range(min(count, total))])
    clean = sights.clean[0][rows]
    figures, compared = {}, {}
    for run in sights.runs:
        adversarial = _attacked(sights, run, rows)
        (on_clean, stage), (on_adversarial, _) = (_overlays(sights, run, some, rows) for some in (clean, adversarial))
        figures[f"attention-{run.folder.name}"] = stages_figure(
            _pixels(clean), _pixels(adversarial), on_clean, on_adversarial
        )
        compared[run.experiment.defense.name] = (on_clean[stage], on_adversarial[stage])
    if len(compared) > 1:
        figures["attention"] = defenses_figure(
            _pixels(clean), _pixels(_attacked(sights, sights.runs[0], rows)), compared
        )
    return figures


def save_attention(sights: Sights, count: int, folder: Path) -> None:
    """Write the figures into a folder as PNG and SVG, all or none."""
    with placing(folder) as scratch:
        for name, figure in attention_figures(sights, count).items():
            save(figure, scratch / name, dpi=90)  # of few pixels anyway


def _attacked(sights: Sights, run: Run, rows: Tensor) -> Tensor:
    for seen, source in sights.of(run):
        if seen.threat == "gray":
            return sights.shown(seen, source)[rows]
    attack = replace(sights.attack, epsilon=sights.epsilons[0])
    images, labels = (tensor[rows].to(sights.device) for tensor in sights.clean)
    model = run.load_model(sights.device)
    draws = generators(sights.seed, "attack", rows, device=sights.device)
    return attack(model, images, labels, generator=draws).cpu()


def _overlays(sights: Sights, run: Run, images: Tensor, rows: Tensor) -> tuple[dict[str, np.ndarray], str]:
    """What each stage attends to, and the stage that defenses are compared by."""
    model = run.load_model(sights.device)
    draws = generators(sights.seed, "analysis", rows, device=sights.device)
    maps = attention_maps(model, images.to(sights.device), draws)
    size = images.shape[2], images.shape[3]
    overlays = {stage: overlay_maps(found, size).cpu().numpy() for stage, found in maps.items()}
    return overlays, telling_stage(maps)


def _pixels(images: Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()
