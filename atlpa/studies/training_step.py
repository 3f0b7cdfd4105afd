"""The training of one network as a step of a study."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path

from atlpa.errors import UserError
from atlpa.experiment import Experiment
from atlpa.records import Training
from atlpa.runs import Run, train_run
from atlpa.runs.lock import LOCK, run_lock
from atlpa.studies.step import Say, State, Step, obstacle, training_state


@dataclass(frozen=True)
class TrainingStep(Step):
    """The training of one network.

    Fields:
        experiment: what is trained, and where.
        put_aside: whether a run that the study does not mean is moved out of the way.
    """

    experiment: Experiment
    put_aside: bool = False

    @property
    def title(self) -> str:
        """What a plan calls it."""
        return f"train {self.experiment.folder.name}"

    def state(self) -> State:
        """Whether the network is trained, or its folder holds another experiment."""
        return training_state(self.experiment)

    def run(self, say: Say = print) -> None:
        """Train, or go on; what the study does not mean is mixed into nothing, and moved only where that was asked for.

        Raises:
            InUse: another process trains there.
            UserError: input that a user can mend.
        """
        if problem := obstacle(self.experiment):
            self.must_be_free()
            say(f"{problem}; it is moved to {self._moved()}")
        train_run(self.experiment, say)

    def must_be_free(self) -> None:
        """Refuse a folder that holds anything else, unless it may be put aside."""
        if (problem := obstacle(self.experiment)) and not self.put_aside:
            raise UserError(
                f"{problem}; it is left as it is: give the study another name, or move what is there out of the way "
                "with --put-aside"
            )

    def files(self) -> list[Path]:
        """The file of the training's record, once it is finished."""
        return [Run.open(self.experiment.folder).training_record] if self.state() == "done" else []

    @property
    def like(self) -> object:
        """Trainings of the same network."""
        return TrainingStep, self.experiment.model

    @property
    def work(self) -> float:
        """Forward and backward passes of the training, in images; one per step where nobody knows the attack's."""
        recipe = self.experiment.training
        return recipe.iterations * recipe.batch_size * sum(self.experiment.defense.cost(recipe.attack) or (1,))

    def seconds(self) -> float | None:
        """How long the steps took, over all sittings."""
        return next((record.seconds for record in self.records() if isinstance(record, Training)), None)

    def _moved(self) -> Path:
        folder = self.experiment.folder
        names = (folder.with_name(f"{folder.name}.stale-{number}") for number in count(1))
        aside = next(path for path in names if not path.exists())
        with run_lock(folder):
            if obstacle(self.experiment):  # unless another process has just moved it
                folder.rename(aside)
                (aside / LOCK).unlink()
        return aside
