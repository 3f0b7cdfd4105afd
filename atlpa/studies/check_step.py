"""The credibility checks of one network as a step of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atlpa.experiment import Experiment
from atlpa.field_types import written
from atlpa.machine import pick_device
from atlpa.records import Credibility
from atlpa.runs import CredibilityRun, Run
from atlpa.studies.step import MeasuringStep


@dataclass(frozen=True)
class CheckStep(MeasuringStep):
    """The credibility checks of one network at one ε.

    Fields:
        target: the network.
        networks: all networks of the study: some are transfer sources.
        epsilon: ε.
        limit: how many images at most.
    """

    target: Experiment
    networks: Sequence[Experiment]
    epsilon: float
    limit: int

    @property
    def title(self) -> str:
        """What a plan calls it."""
        return f"checks, {self.target.folder.name}, ε {written(self.epsilon)}"

    def needs(self) -> Sequence[Experiment]:
        """The networks that must be trained first."""
        return self.networks

    def credibility(self) -> CredibilityRun:
        """The checks of the trained network."""
        return CredibilityRun(Run.open(self.target.folder), self.epsilon, self.limit)

    def paths(self) -> list[Path]:
        """Where its record lies, or will."""
        return [self.credibility().path]

    @property
    def owned(self) -> Path:
        """The folder of the network that is checked."""
        return self.target.folder

    def measure(self) -> None:
        """Make all checks."""
        self.credibility().make(pick_device(self.target.device))

    @property
    def like(self) -> object:
        """Checks of the same architecture."""
        return CheckStep, self.target.model

    def seconds(self) -> float | None:
        """How long all checks took."""
        return next((record.seconds for record in self.records() if isinstance(record, Credibility)), None)
