"""The credibility checks of trained networks: runs in, records out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from atlpa import __version__
from atlpa.data import load_images
from atlpa.errors import UserError
from atlpa.evaluation import credibility
from atlpa.evaluation.checks import CHECKS, Check
from atlpa.evaluation.correctness import to_batch
from atlpa.field_types import written
from atlpa.machine import describe
from atlpa.progress import Progress
from atlpa.records import Credibility
from atlpa.runs.evaluate import judged_images
from atlpa.runs.fallen_images import keep_fallen
from atlpa.runs.folder import Run
from atlpa.runs.on_record import check_place, on_record, record_path
from atlpa.runs.threats import must_fit, sources_beside

IMAGES = 256


@dataclass(frozen=True)
class CredibilityRun:
    """One network's credibility at one ε.

    Fields:
        run: the network.
        epsilon: ε, in units of the [0, 1] pixel range.
        limit: how many images at most, evenly spaced over the part.
        seed: of all that is drawn.
        more: import paths of checks, beside the built-in ones and those of installed packages.
        named: the networks that attack by transfer; by default the undefended ones beside the run, and its surrogate.

    The reference is the undefended source of its own architecture.
    """

    run: Run
    epsilon: float
    limit: int = IMAGES
    seed: int = 0
    more: tuple[str, ...] = ()
    named: tuple[Run, ...] = ()

    @property
    def checks(self) -> list[Check]:
        """What is checked, in order.

        Raises:
            UserError: a name leads to no check.
        """
        found = {name: CHECKS[name] for name in (*CHECKS, *self.more)}
        for name, check in found.items():
            if not isinstance(check, Check):
                raise UserError(f"check {name!r} is a {type(check).__name__}; give a Check of atlpa.evaluation")
        return list(found.values())

    @property
    def sources(self) -> list[Run]:
        """The networks that attack by transfer.

        Raises:
            UserError: one that was named does not fit.
        """
        for source in self.named:
            must_fit(self.run, source)
        beside = self.named or sources_beside(self.run)
        return [run for run in beside if run.network.weights != self.run.network.weights]

    @property
    def path(self) -> Path:
        """Where its record lies."""
        settings: dict[str, object] = {
            "sources": [source.network.weights for source in self.sources],
            "epsilon": self.epsilon,
            "limit": self.limit,
            "seed": self.seed,
            "judged": "all attacks together",
        }
        if others := sorted({*CHECKS, *self.more} - CHECKS.built_in.keys()):
            settings["checks"] = others
        return record_path(self.run, f"credibility-eps{self.epsilon:.4g}", settings)

    @property
    def fallen(self) -> Path:
        """Where the images that fell are kept, if that is wanted."""
        return self.run.folder / "fallen" / f"{self.path.stem}.npz"

    @property
    def recorded(self) -> Credibility | None:
        """What is on record, if anything.

        Raises:
            UserError: what lies there is no such record.
        """
        return on_record(Credibility, self.path, self.run.network)

    def make(self, device: torch.device, *, keep: bool = False) -> Credibility:
        """Make all checks, and write their record.

        Args:
            device: where.
            keep: whether the images that fell are kept beside it.

        Raises:
            UserError: it cannot be written, which is found before anything is measured.
        """
        run = self.run
        for place in (self.path, self.fallen) if keep else (self.path,):
            check_place(place)
        items, judged = judged_images(run, run.read_index(run.training.data), self.limit)
        loaded = load_images(items, judged.size, device, f"{judged.dataset}, {judged.part}")
        images, labels = to_batch(loaded, torch.arange(len(loaded)), device)
        sources = self.sources
        undefended = [
            source
            for source in sources
            if source.undefended and source.experiment.model.architecture == run.experiment.model.architecture
        ]
        began = time.monotonic()
        title = f"checks {run.folder.name} ε {written(self.epsilon)}"
        with Progress(title, len(self.checks), "check") as progress:
            found = credibility(
                run.load_model(device),
                images,
                labels,
                self.epsilon,
                undefended[0].load_model(device) if undefended else None,
                [source.load_model(device) for source in sources],
                checks=self.checks,
                seed=self.seed,
                progress=lambda _: progress.update(),
                tell=progress.tell,
            )
        record = Credibility(
            target=run.network,
            data=judged,
            epsilon=self.epsilon,
            seed=self.seed,
            findings=found.findings,
            correct=found.standing.correct if found.standing else None,
            felled_by=found.standing.refuting if found.standing else {},
            diagnosis=str(found.diagnosis) if found.diagnosis else None,
            seconds=time.monotonic() - began,
            machine=describe(device),
            atlpa=__version__,
        )
        if keep and found.standing:
            keep_fallen(self.fallen, items, found.standing)
        record.save(self.path)
        return record
