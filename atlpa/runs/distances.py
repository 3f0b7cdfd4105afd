"""How far trained networks are from being fooled: runs in, records out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from atlpa import __version__
from atlpa.attacks import Attack
from atlpa.component import dump
from atlpa.data import load_images
from atlpa.errors import UserError
from atlpa.evaluation import distances
from atlpa.evaluation.distances import check_curve
from atlpa.machine import describe
from atlpa.progress import Progress
from atlpa.records import Distances
from atlpa.runs.evaluate import judged_images
from atlpa.runs.folder import Run
from atlpa.runs.on_record import check_place, on_record, record_path


@dataclass(frozen=True)
class DistanceRun:
    """One network's distances.

    Fields:
        run: the network.
        attack: what looks for them, at the largest ε.
        epsilons: every ε that is asked about, ascending.
        limit: judge this many images, evenly spaced over the part; all if ``None``.
        seed: of random starts.

    Raises:
        UserError: an attack or a grid that gives no distances, a network that draws, or one of too few classes.
    """

    run: Run
    attack: Attack
    epsilons: tuple[float, ...]
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        classes = len(self.run.read_index(self.run.training.data).classes)
        if self.run.randomized:
            raise UserError(
                f"{self.run.folder} draws, so that whether an image falls is chance; judge it at some --eps"
            )
        if problem := self.attack.unfit(classes=classes, side=self.run.experiment.data.size):
            raise UserError(f"{self.run.folder} has {problem}")
        try:
            check_curve(self.attack, self.epsilons)
        except ValueError as error:
            raise UserError(str(error)) from error

    @property
    def path(self) -> Path:
        """Where its record lies."""
        settings = {
            "attack": {"name": self.attack.name, **dump(self.attack, exclude_defaults=True)},
            "epsilons": self.epsilons,
            "limit": self.limit,
            "seed": self.seed,
        }
        return record_path(self.run, f"distances-{self.attack.norm}-{self.attack.name}", settings)

    @property
    def recorded(self) -> Distances | None:
        """What is on record, if anything.

        Raises:
            UserError: what lies there is no such record.
        """
        return on_record(Distances, self.path, self.run.network)

    def make(self, device: torch.device) -> Distances:
        """Find the distances, and write their record.

        Raises:
            UserError: it cannot be written, which is found before anything is measured.
        """
        check_place(self.path)
        items, judged = judged_images(self.run, self.run.read_index(self.run.training.data), self.limit)
        images = load_images(items, judged.size, device, f"{judged.dataset}, {judged.part}")
        began, model = time.monotonic(), self.run.load_model(device)
        with Progress(f"distances {self.run.folder.name}", len(images), "image") as progress:
            how: dict[str, Any] = {"seed": self.seed, "progress": progress.update}
            try:
                found = distances(model, images, attack=self.attack, epsilons=self.epsilons, **how)
            except ValueError as error:  # a network that gives no logits, or infinite ones
                raise UserError(f"{self.run.folder}: {error}") from error
        record = Distances(
            target=self.run.network,
            data=judged,
            attack=self.attack.settings(),
            epsilons=self.epsilons,
            distances=tuple(None if value == torch.inf else value for value in found.values.tolist()),
            seed=self.seed,
            seconds=time.monotonic() - began,
            steps=found.passes,
            machine=describe(device),
            atlpa=__version__,
        )
        record.save(self.path)
        return record
