"""The certified bound of one network as a step of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atlpa.experiment import Experiment
from atlpa.field_types import written
from atlpa.machine import pick_device
from atlpa.records import Bound, BoundMethod
from atlpa.runs import BoundRun, Run
from atlpa.studies.step import MeasuringStep


@dataclass(frozen=True)
class BoundStep(MeasuringStep):
    """What is certain of one network at one ε.

    Fields:
        target: the network.
        method: how it is bounded.
        epsilon: ε.
        limit: how many images at most; ``None`` for all.
    """

    target: Experiment
    method: BoundMethod
    epsilon: float
    limit: int | None

    @property
    def title(self) -> str:
        """What a plan calls it."""
        return f"bound by {self.method}, {self.target.folder.name}, ε {written(self.epsilon)}"

    def needs(self) -> Sequence[Experiment]:
        """The network, which must be trained first."""
        return (self.target,)

    def bounds(self) -> list[BoundRun]:
        """The bounds of the trained network, or of both that it keeps."""
        networks = Run.open(self.target.folder).networks
        return [BoundRun(network, self.method, self.epsilon, self.limit) for network in networks]

    def paths(self) -> list[Path]:
        """Where its records lie, or will."""
        return [bound.path for bound in self.bounds()]

    @property
    def owned(self) -> Path:
        """The folder of the network."""
        return self.target.folder

    def measure(self) -> None:
        """Bound what is not on record."""
        for bound in self.bounds():
            if not bound.recorded:
                bound.make(pick_device(self.target.device))

    @property
    def like(self) -> object:
        """Bounds of the same kind of the same architecture."""
        return BoundStep, self.method, self.target.model

    def seconds(self) -> float | None:
        """How long it took."""
        found = [record.seconds for record in self.records() if isinstance(record, Bound)]
        return sum(found) if found else None
