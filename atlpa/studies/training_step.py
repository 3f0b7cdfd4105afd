"""The training of one network as a step of a study."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from atlpa.experiment import Experiment
from atlpa.records import Record
from atlpa.runs import Run, train_run
from atlpa.runs.lock import LOCK, run_lock
from atlpa.studies.step import Say, State, Step, training_state


@dataclass(frozen=True)
class TrainingStep(Step):
    """The training of one network.

    Fields:
        experiment: what is trained, and where.
    """

    experiment: Experiment

    @property
    def title(self) -> str:
        """What a plan calls it."""
        return f"train {self.experiment.folder.name}"

    def state(self) -> State:
        """Whether the network is trained, or its folder holds another experiment."""
        return training_state(self.experiment)

    def run(self, say: Say = print) -> None:
        """Train, or go on; a run that the study no longer means is put aside, so that nothing is mixed in or lost.

        Raises:
            UserError: input that a user can mend; another process trains there.
        """
        if self.state() == "stale":
            say(f"{self.experiment.folder} holds another experiment; it is moved to {self._put_aside()}")
        train_run(self.experiment, say)

    def records(self) -> dict[Path, Record]:
        """The training's record, once it is finished."""
        if self.state() != "done":
            return {}
        run = Run.open(self.experiment.folder)
        return {run.training_record: run.training}

    @property
    def like(self) -> Hashable:
        """Trainings of the same network."""
        return TrainingStep, self.experiment.model

    @property
    def work(self) -> float:
        """Forward and backward passes of the training, in images; one per step where nobody knows the attack's."""
        recipe = self.experiment.training
        return recipe.iterations * recipe.batch_size * sum(self.experiment.defense.cost(recipe.attack) or (1,))

    def seconds(self) -> float | None:
        """How long the steps took, over all sittings."""
        return Run.open(self.experiment.folder).training.seconds if self.state() == "done" else None

    def _put_aside(self) -> Path:
        folder = self.experiment.folder
        names = (folder.with_name(f"{folder.name}.stale-{number}") for number in count(1))
        aside = next(path for path in names if not path.exists())
        with run_lock(folder):
            folder.rename(aside)
            (aside / LOCK).unlink()
        return aside
