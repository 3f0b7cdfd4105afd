"""Certified bounds of trained networks: runs in, records out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from atlpa import __version__
from atlpa.bounds import NoBound, certify
from atlpa.data import load_images
from atlpa.evaluation.correctness import to_batch
from atlpa.field_types import written
from atlpa.float32 import ieee_float32
from atlpa.machine import describe
from atlpa.progress import Progress
from atlpa.records import Bound, BoundMethod
from atlpa.runs.evaluate import judged_images
from atlpa.runs.folder import Run
from atlpa.runs.on_record import check_place, on_record, record_path

AT_ONCE = 16
"""Images between two looks at the progress."""


@dataclass(frozen=True)
class BoundRun:
    """One network's certified bound at one ε.

    Fields:
        run: the network.
        method: how.
        epsilon: ε, in units of the [0, 1] pixel range.
        limit: how many images at most, evenly spaced over the part; ``None`` for all.
    """

    run: Run
    method: BoundMethod
    epsilon: float
    limit: int | None = None

    @property
    def path(self) -> Path:
        """Where its record lies."""
        settings = {"method": self.method, "epsilon": self.epsilon, "limit": self.limit}
        return record_path(self.run, f"bound-{self.method}-eps{self.epsilon:.4g}", settings)

    @property
    def recorded(self) -> Bound | None:
        """What is on record, if anything.

        Raises:
            UserError: what lies there is no such record.
        """
        return on_record(Bound, self.path, self.run.network)

    def make(self, device: torch.device) -> Bound:
        """Bound the network, and write the record; a network without a bound has one that says why.

        Raises:
            UserError: it cannot be written, which is found before anything is measured.
        """
        run = self.run
        check_place(self.path)
        items, judged = judged_images(run, run.read_index(run.training.data), self.limit)
        loaded = load_images(items, judged.size, device, f"{judged.dataset}, {judged.part}")
        model = run.load_model(device)
        began = time.monotonic()
        clean, certified, obstacle = "", "", None
        title = f"bound {self.method} {run.folder.name} ε {written(self.epsilon)}"
        with Progress(title, len(loaded), "image") as progress, ieee_float32():
            for rows in torch.split(torch.arange(len(loaded)), AT_ONCE):
                images, labels = to_batch(loaded, rows, device)
                with torch.no_grad():
                    clean += _verdicts(model(images).argmax(dim=1) == labels)
                try:
                    if obstacle is None:
                        certified += _verdicts(certify(model, images, labels, self.epsilon, self.method).certified)
                except NoBound as error:
                    obstacle = str(error)
                progress.update(len(rows))
        record = Bound(
            target=run.network,
            data=judged,
            method=self.method,
            epsilon=self.epsilon,
            clean=clean,
            certified=None if obstacle else certified,
            obstacle=obstacle,
            seed=0,
            seconds=time.monotonic() - began,
            machine=describe(device),
            atlpa=__version__,
        )
        record.save(self.path)
        return record


def _verdicts(right: torch.Tensor) -> str:
    """A character for each image."""
    return "".join(map(str, right.int().tolist()))
