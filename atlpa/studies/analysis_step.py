"""The analyses of a study's networks, which share their images, as a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atlpa.experiment import Experiment
from atlpa.machine import pick_device
from atlpa.records import Analysis
from atlpa.runs import ANALYSES, AnalysisTask, EvaluationImages, Run, analysis_tasks, save_attention
from atlpa.studies.step import MeasuringStep
from atlpa.studies.study import Study

ATTENTION_IMAGES = 3


@dataclass(frozen=True)
class AnalysisStep(MeasuringStep):
    """The analyses of some networks.

    Fields:
        targets: the networks.
        networks: all networks of the study: some are transfer sources.
        study: says which analyses, on which images.
    """

    targets: tuple[Experiment, ...]
    networks: Sequence[Experiment]
    study: Study

    @property
    def title(self) -> str:
        """What a plan calls it."""
        return f"analyses of {len(self.targets)} networks"

    def needs(self) -> Sequence[Experiment]:
        """The networks that must be trained first."""
        return self.networks

    def tasks(self, images: EvaluationImages) -> list[AnalysisTask]:
        """One for each record, on the same images."""
        return analysis_tasks(images, [kind for kind in ANALYSES if kind in self.study.analyses])[0]

    def paths(self) -> list[Path]:
        """Where its records lie, or will."""
        return [task.path for task in self.tasks(self._images())]

    @property
    def owned(self) -> Path:
        """The folder of the network that is analyzed first."""
        return self.targets[0].folder

    def measure(self) -> None:
        """Make what is not on record, and draw the attention figures beside the runs."""
        images = self._images()
        for task in self.tasks(images):
            task.recorded_or_made()
        if "attention" in self.study.analyses:
            save_attention(images, ATTENTION_IMAGES, self.targets[0].folder.parent)

    @property
    def like(self) -> object:
        """A study has one such step."""
        return AnalysisStep

    def seconds(self) -> float | None:
        """How long all of them took."""
        found = [record.seconds for record in self.records() if isinstance(record, Analysis)]
        return sum(found) if found else None

    def _images(self) -> EvaluationImages:
        device = pick_device(self.targets[0].device)
        attack = self.study.protocols()[0].on(device).attack
        runs = [Run.open(target.folder) for target in self.targets]
        return EvaluationImages(runs, attack, self.study.epsilons, device, self.study.analysis_limit)
