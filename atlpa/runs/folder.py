"""A run's folder: ``experiment.yaml``, ``split.json``, ``last.pt``, ``log.jsonl`` and ``records/*.json``."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
import yaml
from torch import nn
from torch.optim import Optimizer

from atlpa.data import PARTS, Index
from atlpa.errors import PlaceTaken, UserError, shown
from atlpa.experiment import Experiment, differences, load, parse
from atlpa.files import unwritable, write_text
from atlpa.models import Classifier
from atlpa.records import Network, Training
from atlpa.registry import UntrustedCode, trusting_only_what_is_known
from atlpa.runs.lock import LOCK
from atlpa.runs.split import read_split
from atlpa.training import Checkpoint, load_checkpoint
from atlpa.training.checkpoint import REMEDY

ANOTHER = "choose another --output"


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
    def open(cls, folder: Path, *, trust_code: bool = False) -> Run:
        """Open an existing run.

        Args:
            folder: where it lies.
            trust_code: whether code that the run names by its import path may be imported, which runs it. What an
                installed package announces, or what this process was asked for before, always may.

        Raises:
            UntrustedCode: the run names such code, and it may not.
            UserError: the folder holds no run, or a damaged one.
        """
        description = folder / "experiment.yaml"
        if not description.is_file():
            raise UserError(f"{folder} holds no run (no experiment.yaml); give a folder that atlpa-train made")
        try:
            with nullcontext() if trust_code else trusting_only_what_is_known():
                return cls(folder, load(str(description)))
        except UserError as error:
            raise type(error)(f"{description}: {error}") from error

    @classmethod
    def existing(cls, experiment: Experiment) -> Run | None:
        """The run that an experiment's folder holds already; ``None`` where one can be made.

        Raises:
            PlaceTaken: the folder holds another experiment (every differing key is named) or other things, or cannot
                be made.
            UserError: it holds a damaged run.
        """
        folder = experiment.folder
        if (folder / "experiment.yaml").exists():
            try:
                there = cls.open(folder)
            except UntrustedCode as error:  # which this experiment, since it could be read, does not name
                raise PlaceTaken(f"{folder} holds another experiment: {error}", ANOTHER) from error
            experiment = replace(there.with_class_defaults(experiment), code=there.experiment.code)
            if differing := differences(there.experiment.identity(), experiment.identity()):
                raise PlaceTaken(f"{folder} holds another experiment: {differing}", f"{ANOTHER} or remove it")
            return cls(folder, experiment)
        if problem := unwritable(folder):
            raise PlaceTaken(f"{folder} cannot be made: {problem}", ANOTHER)
        if folder.exists() and any(entry.suffix != ".half" and entry.name != LOCK for entry in folder.iterdir()):
            raise PlaceTaken(f"{folder} exists and is no run", ANOTHER)
        return None

    @classmethod
    def create(cls, experiment: Experiment) -> Run:
        """Begin a new run in a folder that is there and owned, with its ``experiment.yaml``."""
        text = yaml.safe_dump(experiment.resolved(), sort_keys=False, allow_unicode=True)
        write_text(experiment.folder / "experiment.yaml", text)
        return cls(experiment.folder, experiment)

    def with_class_defaults(self, experiment: Experiment) -> Experiment:
        """An experiment with what it leaves to the number of classes decided by this run's data.

        The split is read only where the usual values would tell the two apart; without one, they stand.
        """
        usual = experiment.for_classes(None)
        if usual.identity() == self.experiment.identity() or not self.split_path.is_file():
            return usual
        parts = read_split(self.split_path).values()
        return experiment.for_classes(len({name for part in parts for name in part.values()}))

    def with_data_root(self, root: str | None) -> Run:
        """The same run, its data found in another folder; unchanged for ``None``.

        Raises:
            UserError: the data set has no folder.
        """
        if root is None:
            return self
        fields = {**self.experiment.resolved(), "code": self.experiment.code}
        fields["data"]["root"] = root
        return Run(self.folder, parse(fields))

    def code_notes(self) -> list[str]:
        """What other packages contribute to the run, and where their versions are not those that it was begun with."""
        notes = []
        for name, now in self.experiment.foreign_code.items():
            there = self.experiment.code.get(name, now)
            begun = "" if there == now else f", but was begun with {there}"
            notes.append(f"{self.folder} uses {name} of {now}{begun}")
        return notes

    @property
    def randomized(self) -> bool:
        """Whether the network draws at inference."""
        return self.experiment.defense.randomized

    @property
    def checkpoint_path(self) -> Path:
        """The last checkpoint, which training goes on from."""
        return self.folder / "last.pt"

    @property
    def sound_path(self) -> Path:
        """The checkpoint of the network that withstood PGD best before a collapse; kept where one was seen."""
        return self.folder / "sound.pt"

    @property
    def log_path(self) -> Path:
        """The training log."""
        return self.folder / "log.jsonl"

    @property
    def records(self) -> Path:
        """Where the run's records lie."""
        return self.folder / "records"

    @property
    def split_path(self) -> Path:
        """Which image is in which part, and which were skipped, written before training begins."""
        return self.folder / "split.json"

    @property
    def training_record(self) -> Path:
        """Written when training ends."""
        return self.records / "training.json"

    @property
    def finished(self) -> bool:
        """Whether training has ended."""
        return self.training_record.is_file()

    @cached_property
    def training(self) -> Training:
        """The record of the finished training.

        Raises:
            UserError: training has not finished.
        """
        if not self.finished:
            raise UserError(f"{self.folder} has not finished training; run its atlpa-train command again to resume")
        return Training.load(self.training_record)

    @property
    def network(self) -> Network:
        """How records name this run's network."""
        return replace(self.training.network, run=self.folder.as_posix())

    def read_checkpoint(self) -> Checkpoint:
        """The last checkpoint.

        Raises:
            UserError: there is none, it cannot be read, or it is of another experiment.
        """
        checkpoint = load_checkpoint(self.checkpoint_path)
        try:
            with trusting_only_what_is_known():
                experiment = parse(checkpoint.experiment)
            differing = differences(experiment.identity(), self.experiment.identity())
        except UserError as error:
            differing = str(error)
        if differing:
            raise UserError(f"{self.checkpoint_path} belongs to another experiment than its folder: {differing}")
        if checkpoint.step > (last := experiment.training.iterations):
            raise UserError(f"{self.checkpoint_path} is of step {shown(checkpoint.step)} of {last}; {REMEDY}")
        return checkpoint

    def restore(self, checkpoint: Checkpoint, model: nn.Module, optimizer: Optimizer | None = None) -> None:
        """Load a checkpoint's states into the run's network and, to go on with its training, the optimizer.

        Raises:
            UserError: they do not fit; the file is named.
        """
        try:
            checkpoint.restore(model, optimizer)
        except UserError as error:
            raise UserError(f"{self.checkpoint_path}: {error}") from error

    def read_index(self, digest: str) -> Index:
        """The data set's index in the parts that were written down, which must be what was trained on.

        Raises:
            UserError: the data is missing, or is another data set.
        """
        index = self.experiment.data.index()
        listed = index.as_listed(read_split(self.split_path)) if self.split_path.is_file() else index
        if listed is None or listed.digest != digest:
            what = f"{len(index.items(*PARTS))} images of {len(index.classes)} classes"
            raise UserError(f"{self.folder} was trained on other data than the {what} found now; check --data-root")
        return listed

    def load_model(self, device: torch.device) -> Classifier:
        """The trained network, in evaluation mode.

        Raises:
            UserError: training has not finished, or the checkpoint is not the one that it ended with.
        """
        trained, checkpoint, experiment = self.training, self.read_checkpoint(), self.experiment
        model = experiment.defense.build(
            experiment.model, len(checkpoint.classes), experiment.seed, experiment.data.size
        )
        self.restore(checkpoint, model)
        there = {
            "weights": (checkpoint.weights_hash[:8], trained.network.weights[:8]),
            "step": (checkpoint.step, trained.iterations),
            "data": (checkpoint.data[:8], trained.data[:8]),
        }
        for what, (now, then) in there.items():
            if now != then:
                raise UserError(
                    f"{self.checkpoint_path} has changed since training ended: {what} {now}, on record {then}; {REMEDY}"
                )
        return model.to(device).to(memory_format=torch.channels_last).eval()
