"""A run on disk: opened, begun, and what of it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
import yaml

from atlpa.data import PARTS, Index
from atlpa.dotted import differences
from atlpa.errors import PlaceTaken, UserError, shown
from atlpa.experiment import Experiment, load_again, parse
from atlpa.files import unwritable, write_text
from atlpa.models import Classifier
from atlpa.records import Network, Selected, Training
from atlpa.records.log import collapse_step, read_log
from atlpa.registry import UntrustedCode, trusting_only_what_is_known
from atlpa.runs.initial_weights import undefended
from atlpa.runs.lock import LOCK
from atlpa.runs.places import Places
from atlpa.runs.split import read_split
from atlpa.training import Checkpoint, Kept, load_checkpoint
from atlpa.training.checkpoint import REMEDY

ANOTHER = "choose another --output"


@dataclass(frozen=True)
class Run(Places):
    """A run that exists on disk.

    Fields:
        folder: where it lies.
        experiment: what it computes.
        kept: which of its networks is meant; by default the best where it selects one, else the last.
    """

    experiment: Experiment
    kept: Kept | None = None

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
                return cls(folder, load_again(description))
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
        if "root" not in fields["data"]:
            raise UserError(f"{self.experiment.data.name}, of {self.folder}, needs no files; leave out --data-root")
        fields["data"]["root"] = root
        return Run(self.folder, parse(fields), self.kept)

    @property
    def networks(self) -> list[Run]:
        """The run with each of the networks that are judged: the best and the last where it selects, else the last.

        Raises:
            UserError: training has not finished.
        """
        if not self.selects or self._selected.weights == self.training.network.weights:
            return [self]
        return [replace(self, kept="best"), replace(self, kept="last")]

    @property
    def selects(self) -> bool:
        """Whether training keeps the network that does best on the validation part."""
        return self.experiment.training.select_by is not None

    @property
    def judged(self) -> Kept:
        """Which of its networks is judged."""
        return self.kept or ("best" if self.selects else "last")

    def notes(self) -> list[str]:
        """That training had collapsed; what other packages contribute, and where their versions are not as it began."""
        notes = []
        if self.finished and (step := self.training.collapsed):
            before = f"; {self.sound_path} is the network of before" if self.sound_path.exists() else ""
            notes.append(f"{self.folder}: training had collapsed by step {step}{before}")
        for name, now in self.experiment.foreign_code.items():
            there = self.experiment.code.get(name, now)
            begun = "" if there == now else f", but was begun with {there}"
            notes.append(f"{self.folder} uses {name} of {now}{begun}")
        return notes

    @property
    def given(self) -> bool:
        """Whether the network came from elsewhere, so that nobody here knows how it was trained."""
        return self.experiment.training.iterations == 0

    @property
    def undefended(self) -> bool:
        """Whether nothing defends the network, nor has shaped the weights that it began with."""
        return undefended(self.experiment)

    @property
    def randomized(self) -> bool:
        """Whether the network draws at inference."""
        return self.experiment.defense.randomized

    @cached_property
    def training(self) -> Training:
        """The record of the finished training.

        Raises:
            UserError: training has not finished.
        """
        if not self.finished:
            raise UserError(f"{self.folder} has not finished training; {self._way_on}")
        return Training.load(self.training_record)

    @property
    def _way_on(self) -> str:
        """What can be done with a run that has not finished."""
        check, log = self.experiment.training.collapse, self.log_path
        step = collapse_step(read_log(log)) if log.is_file() else None
        if not (check and check.action == "stop" and step):
            return "run its atlpa-train command again to resume"
        judged = f"atlpa-eval --model {self.experiment.model.architecture} --weights {self.sound_path}"
        return (
            f"it had collapsed by step {step}, and was to stop there; {judged} judges the network of before, "
            f"--set model.weights={self.sound_path} trains on from it"
        )

    @property
    def network(self) -> Network:
        """How records name this run's network.

        Raises:
            UserError: training has not finished, or its record says of no best network.
        """
        last = replace(self.training.network, run=self.folder.as_posix())
        if not self.selects:
            return last
        weights = last.weights if self.judged == "last" else self._selected.weights
        return replace(last, weights=weights, checkpoint=self.judged)

    @property
    def _selected(self) -> Selected:
        if self.training.selected is None:
            raise UserError(f"{self.training_record} says of no best network, though the run selects one; {REMEDY}")
        return self.training.selected

    def read_checkpoint(self, kept: Kept = "last") -> Checkpoint:
        """A checkpoint.

        Raises:
            UserError: there is none, it cannot be read, or it is of another experiment.
        """
        path = self.path_of(kept)
        checkpoint = load_checkpoint(path)
        try:
            with trusting_only_what_is_known():
                experiment = parse(checkpoint.experiment)
            differing = differences(experiment.identity(), self.experiment.identity())
        except UserError as error:
            differing = str(error)
        if differing:
            raise UserError(f"{path} belongs to another experiment than its folder: {differing}")
        last = experiment.training.iterations
        if not min(1, last) <= checkpoint.step <= last:
            raise UserError(f"{path} is of step {shown(checkpoint.step)} of {last}; {REMEDY}")
        return checkpoint

    @contextmanager
    def restoring(self, kept: Kept = "last") -> Iterator[None]:
        """Name the file of a checkpoint whose states do not fit what they are loaded into."""
        try:
            yield
        except UserError as error:
            raise UserError(f"{self.path_of(kept)}: {error}") from error

    def read_index(self, digest: str, *, training: bool = False) -> Index:
        """The data set's index in the parts that were written down, which must be what was trained on.

        Args:
            digest: of what was trained on.
            training: whether extra images are needed; for judging, their names in the split will do.

        Raises:
            UserError: the data is missing, or is another data set.
        """
        data = self.experiment.data
        index = data.training_index() if training else data.index()
        listed = index.as_listed(read_split(self.split_path)) if self.split_path.is_file() else index
        if listed is None or listed.training_digest != digest:
            what = f"{len(index.items(*PARTS))} images of {len(index.classes)} classes"
            raise UserError(f"{self.folder} was trained on other data than the {what} found now; check --data-root")
        return listed

    def load_model(self, device: torch.device) -> Classifier:
        """The network that is judged, in evaluation mode.

        Raises:
            UserError: training has not finished, or the checkpoint is not the one that it left.
        """
        trained, checkpoint, experiment = self.training, self.read_checkpoint(self.judged), self.experiment
        model = experiment.defense.build(
            experiment.model, len(checkpoint.classes), experiment.seed, experiment.data.size
        )
        with self.restoring(self.judged):
            checkpoint.restore(model)
        step = trained.iterations if self.judged == "last" else self._selected.step
        there = {
            "weights": (checkpoint.weights_hash[:8], self.network.weights[:8]),
            "step": (checkpoint.step, step),
            "data": (checkpoint.data[:8], trained.data[:8]),
        }
        for what, (now, then) in there.items():
            if now != then:
                changed = f"{self.path_of(self.judged)} has changed since training ended"
                raise UserError(f"{changed}: {what} {now}, on record {then}; {REMEDY}")
        return model.to(device).to(memory_format=torch.channels_last).eval()
