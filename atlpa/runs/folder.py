"""A run's folder: ``experiment.yaml``, ``last.pt``, ``log.jsonl`` and ``records/*.json``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import yaml

from atlpa.errors import UserError
from atlpa.experiment import Experiment, load, parse
from atlpa.models import Classifier
from atlpa.records import Network, Training
from atlpa.training import Checkpoint, load_checkpoint


@dataclass(frozen=True)
class Run:
    """A run that exists on disk.

    Fields:
        folder: where it lies.
        experiment: what it computes.
    """

    folder: Path
    experiment: Experiment

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open an existing run.

        Raises:
            UserError: the folder holds no run.
        """
        description = folder / "experiment.yaml"
        if not description.is_file():
            raise UserError(f"{folder} holds no run (no experiment.yaml); give a folder that atlpa-train made")
        return cls(folder, load(str(description)))

    @classmethod
    def claim(cls, experiment: Experiment) -> Run:
        """Make the folder of a new run, or open the same experiment's to go on with it.

        Raises:
            UserError: the folder holds another experiment; every differing key is named.
        """
        folder = experiment.folder
        description = folder / "experiment.yaml"
        if description.exists():
            there, here = cls.open(folder).experiment.identity(), experiment.identity()
            differing = [
                f"{key} ({there.get(key)!r} there, {here.get(key)!r} now)"
                for key in sorted(there.keys() | here.keys())
                if there.get(key) != here.get(key)
            ]
            if differing:
                raise UserError(
                    f"{folder} holds another experiment: {', '.join(differing)}; choose another --output or remove it"
                )
        else:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise UserError(f"{folder} exists and is no run; choose another --output")
            folder.mkdir(parents=True, exist_ok=True)
            half = folder / "experiment.half"
            half.write_text(
                yaml.safe_dump(experiment.resolved(), sort_keys=False, allow_unicode=True), encoding="utf-8"
            )
            half.replace(description)
        return cls(folder, experiment)

    def with_data_root(self, root: str | None) -> Run:
        """The same run, its data found in another folder; unchanged for ``None``.

        Raises:
            UserError: the data set has no folder.
        """
        if root is None:
            return self
        fields = self.experiment.resolved()
        fields["data"]["root"] = root
        return Run(self.folder, parse(fields))

    @property
    def checkpoint_path(self) -> Path:
        """The only checkpoint: the last one."""
        return self.folder / "last.pt"

    @property
    def log_path(self) -> Path:
        """The training log."""
        return self.folder / "log.jsonl"

    @property
    def records(self) -> Path:
        """Where the run's records lie."""
        return self.folder / "records"

    @property
    def training_record(self) -> Path:
        """Written when training ends."""
        return self.records / "training.json"

    @property
    def finished(self) -> bool:
        """Whether training has ended."""
        return self.training_record.is_file()

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The last checkpoint, read once."""
        return load_checkpoint(self.checkpoint_path)

    @cached_property
    def network(self) -> Network:
        """How records name this run's network."""
        experiment = self.experiment
        return Network(
            run=self.folder.as_posix(),
            defense=experiment.defense.name,
            architecture=experiment.model.architecture,
            seed=experiment.seed,
            weights=self.checkpoint.weights_hash,
        )

    def load_model(self, device: torch.device) -> Classifier:
        """The trained network, in evaluation mode.

        Raises:
            UserError: training has not finished, or the checkpoint is of another experiment.
        """
        if not self.finished:
            raise UserError(f"{self.folder} has not finished training; run its atlpa-train command again to resume")
        if parse(self.checkpoint.experiment).identity() != self.experiment.identity():
            raise UserError(f"{self.checkpoint_path} belongs to another experiment than {self.folder}/experiment.yaml")
        model = self.experiment.model.build(len(self.checkpoint.classes), self.experiment.seed)
        self.checkpoint.restore(model)
        return model.to(device).eval()


def finished_runs(folder: Path) -> list[Run]:
    """Every finished run at or below a folder, the newest last; what cannot be read is passed over."""
    found: list[tuple[str, str, Run]] = []
    for record in folder.glob("**/records/training.json"):
        try:
            run = Run.open(record.parent.parent)
            found.append((Training.load(record).finished, str(record), run))
        except UserError:
            continue
    return [run for *_, run in sorted(found, key=lambda entry: entry[:2])]
