"""The one face of all that a study does: what it is called, where it stands, carrying it out, what came out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from atlpa.errors import PlaceTaken, UserError
from atlpa.experiment import Experiment
from atlpa.records import Record, read
from atlpa.runs import Run
from atlpa.runs.lock import in_use, run_lock

State = Literal["done", "to do", "waits", "stale"]
"""``waits``: for networks that are not trained yet; ``stale``: in its place lies what the study no longer means."""

Say = Callable[[str], None]
"""Told what happens, a line at a time."""


class Step(ABC):
    """A training, an attack, the checks or the bound of a network, or analyses."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What a plan calls it."""

    @abstractmethod
    def state(self) -> State:
        """Whether it is done, by what is on disk."""

    @abstractmethod
    def run(self, say: Say = print) -> None:
        """Carry it out; each result is on disk as soon as it is there.

        Raises:
            UserError: input that a user can mend.
        """

    @abstractmethod
    def files(self) -> list[Path]:
        """The files of its records that are there."""

    def records(self) -> list[Record]:
        """What is on record of it and can be read."""
        found = []
        for file in self.files():
            with suppress(UserError):  # which the report names
                found.append(read(file))
        return found

    @property
    @abstractmethod
    def like(self) -> object:
        """What it has in common with steps that take about as long for each unit of ``work``."""

    @property
    def work(self) -> float:
        """How much there is to do, in any unit that steps ``like`` it share."""
        return 1.0

    @abstractmethod
    def seconds(self) -> float | None:
        """How long it took; ``None`` where nothing is on record."""

    def awaited(self) -> bool:
        """Whether what it waits for is made by another process, at this moment."""
        return False


class MeasuringStep(Step):
    """A step that leaves records of trained networks, so that its state is which of their files are there."""

    @abstractmethod
    def needs(self) -> Sequence[Experiment]:
        """The networks that must be trained first."""

    @property
    @abstractmethod
    def owned(self) -> Path:
        """The run's folder that is owned while this is made, so that no other process makes it too."""

    @abstractmethod
    def measure(self) -> None:
        """Make what is not on record; progress is shown as it is made."""

    @abstractmethod
    def paths(self) -> list[Path]:
        """Where its records lie, or will; the networks are trained."""

    def state(self) -> State:
        """Whether it is on record, can be made, or waits for a training."""
        if not self._ready():
            return "waits"
        return "done" if all(path.is_file() for path in self.paths()) else "to do"

    def run(self, say: Say = print) -> None:
        """Make it, unless another process has made it meanwhile.

        Raises:
            InUse: another process is at it.
            UserError: input that a user can mend.
        """
        with run_lock(self.owned, say):
            if self.state() == "to do":
                self.measure()

    def awaited(self) -> bool:
        """Whether another process trains a network that it waits for."""
        return any(training_state(network) != "done" and in_use(network.folder) for network in self.needs())

    def files(self) -> list[Path]:
        """The files of its records that are there."""
        return [path for path in self.paths() if path.is_file()] if self._ready() else []

    def _ready(self) -> bool:
        return all(training_state(network) == "done" for network in self.needs())


def training_state(experiment: Experiment) -> State:
    """Whether a network is trained, or its folder holds something else."""
    if obstacle(experiment):
        return "stale"
    begun = (experiment.folder / "experiment.yaml").is_file()
    return "done" if begun and Run.open(experiment.folder).finished else "to do"


def obstacle(experiment: Experiment) -> str | None:
    """What lies where a network belongs, if it is anything but that network's run."""
    if not os.path.lexists(experiment.folder):
        return None
    try:
        Run.existing(experiment)
    except PlaceTaken as taken:
        return taken.problem
    except UserError as error:
        return str(error)
    return None
