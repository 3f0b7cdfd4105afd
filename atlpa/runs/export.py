"""Networks for other programs: a run's network written as plain weights or as ONNX, and compared with the run's own."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from atlpa import __version__
from atlpa.errors import UserError
from atlpa.files import atomic_folder, unwritable_file
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits
from atlpa.models import Classifier, expression_of
from atlpa.randomness import generator
from atlpa.runs.export_formats import FORMATS, ExportedNetwork
from atlpa.runs.folder import Run
from atlpa.training import Kept

TOLERANCE = 1e-5
"""How far a logit may lie from the run's own, as a share of the largest; of 1, where all are smaller."""


def export(run: Run, to: str, file: Path, kept: Kept | None = None) -> tuple[ExportedNetwork, float]:
    """Write a run's network, read it back, and compare the two.

    Args:
        run: a finished run.
        to: one of ``FORMATS``.
        file: where to; nothing may be there. The format ``torch`` puts the description beside it, in ``FILE.json``.
        kept: which of the run's networks; by default the one that is judged first (``Run.judged``).

    Returns:
        The description, and the largest difference between the logits of the two networks (see ``difference``).

    Raises:
        UserError: training has not finished, the run has no such network, the format cannot hold it or its package is
            missing, the file cannot be written, or what was written gives other logits. Nothing is left behind.
    """
    form = FORMATS[to]
    if not file.name or file.is_dir():
        raise UserError(f"{file} is a folder; give the name of a file that is not there yet")
    if kept == "best" and not run.selects:
        raise UserError(f"{run.folder} selects no best network (training.select_by); it has a last one alone")
    run = replace(run, kept=kept or run.kept)
    _must_hold(run, to)
    if reason := form.missing():
        raise UserError(f"--to {to} {reason}")
    for place in (file, *form.beside(file)):
        if os.path.lexists(place):
            raise UserError(f"{place} is there already, and is not replaced; remove it or give another name")
        if problem := unwritable_file(place):
            raise UserError(f"{place} cannot be written: {problem}")
    model = run.load_model(torch.device("cpu"))
    description = describe(run, model)
    with atomic_folder(file.absolute().parent) as scratch:
        form.write(model, description, scratch / file.name)
        told, written = form.read(scratch / file.name)
        found = difference(model, written, description.size)
        if told != description or not found <= TOLERANCE:
            raise UserError(
                f"the export would not be {run.folder}'s network: logits differ by {found:.2g} of the largest, where "
                f"{TOLERANCE:g} is allowed; nothing was written"
            )
    return description, found


def _must_hold(run: Run, to: str) -> None:
    """Refuse what a format cannot hold."""
    defense = run.experiment.defense
    if defense.randomized:
        layer = "noise" if defense.noise else "randomize"
        raise UserError(
            f"{run.folder} draws at every inference (defense.{layer}), with random numbers that no format holds; it "
            "cannot be exported"
        )
    if defense.denoise and not FORMATS[to].whole:
        raise UserError(
            f"{run.folder} has denoising blocks (defense.denoise), which a plain {run.experiment.model.architecture} "
            "has no place for; --to onnx takes them along"
        )


def describe(run: Run, model: Classifier) -> ExportedNetwork:
    """What is told beside the weights of a run's network."""
    experiment, checkpoint = run.experiment, run.read_checkpoint(run.judged)
    architecture, size = experiment.model.architecture, experiment.data.size
    return ExportedNetwork(
        network=expression_of(architecture, len(checkpoint.classes), size),
        architecture=architecture,
        classes=checkpoint.classes,
        size=size,
        normalization=model.normalization,
        defense=experiment.defense.name,
        kept=run.judged,
        weights=run.network.weights,
        experiment=experiment.identity(),
        atlpa=__version__,
    )


@torch.no_grad()
@ieee_float32()
def difference(ours: Logits, theirs: Logits, size: int) -> float:
    """The largest difference between two networks' logits, as a share of our largest one, or of 1 if that is smaller.

    The images are random, at the borders of [0, 1] and in its corners; the first goes alone, since a network that was
    written down for batches of one size would fail with another.

    Args:
        ours: images ``(B, 3, size, size)`` in [0, 1] to logits ``(B, C)``.
        theirs: likewise.
        size: H = W.
    """
    images = _images(size)
    expected, found = (torch.cat([model(images[:1]), model(images[1:])]) for model in (ours, theirs))
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1))


def _images(size: int) -> Tensor:
    """Four random images, black, white, and two whose every value is 0 or 1: ``(8, 3, size, size)``."""
    drawn = torch.rand(6, 3, size, size, generator=generator(0, "export"))
    borders = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, size, size)
    return torch.cat([drawn[:4], borders, drawn[4:].round()])
