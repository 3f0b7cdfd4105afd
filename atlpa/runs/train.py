"""From an experiment to a trained network in its folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

import torch
from torch import nn

from atlpa import __version__
from atlpa.attacks import PGD
from atlpa.data import Batches, Images, Index
from atlpa.errors import UserError
from atlpa.evaluation import accuracy
from atlpa.experiment import Experiment
from atlpa.machine import describe
from atlpa.processes import ALONE, Processes
from atlpa.records import Network, Selected, Training
from atlpa.runs.folder import Run
from atlpa.runs.lock import InUse, run_lock
from atlpa.runs.origin import take_over
from atlpa.runs.prepare import Prepared, prepare
from atlpa.runs.split import write_split
from atlpa.training import SELECTION, Checkpoint, Kept, TrainingLog, optimizer_state, save_checkpoint, train

Say = Callable[[str], None]


def train_run(experiment: Experiment, say: Say = print, here: Processes = ALONE) -> Run:
    """Train an experiment's network, or go on where it was left, or find it finished.

    Everything that can be wrong with the input is found before the folder is made; only the pictures of a set too large
    to be held decoded are opened as they are needed (``data.skip_unreadable`` opens them all first). Meanwhile this
    process owns the folder.

    Several processes may do it together, each with the same experiment; the first one writes and speaks.

    Args:
        experiment: what to do.
        say: told what is read, built and left, a line at a time.
        here: this process among those that train together.

    Raises:
        UserError: input that a user can mend; another process trains there.
        Interrupted: a signal came; the state was saved.
    """
    say = say if here.first else _nothing
    with ExitStack() as held:
        with here.together():
            run = _existing(experiment, say, here, held)
        if run and here.largest(run.finished):  # as the first process to see it says
            say(f"{run.folder} is finished: {experiment.training.iterations} iterations")
            return run
        with here.together():
            prepared = prepare(experiment, run, say, here)
        here.agree(lambda: prepared.facts)
        with here.together():
            run = _begin(prepared, say, here, held)
        with here.together():
            _must_be_seen(run)
        _train(run, prepared, here)
        return run


def _nothing(_: str) -> None:
    pass


def _existing(experiment: Experiment, say: Say, here: Processes, held: ExitStack) -> Run | None:
    """The run that is there, owned by the first process while it is not finished."""
    experiment.resolved()  # what could not be written down is refused before any work
    run = Run.existing(experiment)
    if run and not run.finished and here.first:
        held.enter_context(run_lock(run.folder, say))
    return run


def _begin(prepared: Prepared, say: Say, here: Processes, held: ExitStack) -> Run:
    """Make the folder of a new run, and write down what is trained on."""
    experiment, resumed = prepared.experiment, prepared.resumed
    run = prepared.run or Run(experiment.folder, experiment)
    if not here.first:
        return run
    if not prepared.run:
        held.enter_context(run_lock(experiment.folder, say))
        if Run.existing(experiment):
            raise InUse(f"{experiment.folder} was begun by another process meanwhile", "the same command goes on there")
        run = Run.create(experiment)
    if not run.checkpoint_path.exists():
        write_split(run.split_path, prepared.index, prepared.skipped)
        if prepared.origin:
            take_over(prepared.origin, run)
    among = f", in {here.count} processes" if here.count > 1 else ""
    begun = f"{experiment.defense.name}, {experiment.model.architecture}, on {prepared.device}{among}"
    if resumed and prepared.origin:
        kept = "optimizer and averaged weights" if experiment.training.averaging else "optimizer"
        begun = f"going on from {prepared.origin.folder} after step {resumed.step}, with its {kept}{among}"
    elif resumed:
        begun = f"resuming after step {resumed.step}{among}"
    say(f"{run.folder}: {begun}")
    return run


def _must_be_seen(run: Run) -> None:
    if not (run.folder / "experiment.yaml").is_file():
        raise UserError(f"{run.folder} is not seen here; give an --output on a file system that all hosts share")


def _train(run: Run, prepared: Prepared, here: Processes) -> None:
    """Take the steps; what is left of them is written by the first process."""
    experiment, device, model = prepared.experiment, prepared.device, prepared.model
    data, recipe, seed = experiment.data, experiment.training, experiment.seed
    first_step = prepared.resumed.step if prepared.resumed else 0
    rows = here.rows(recipe.batch_size)
    with here.together():
        log = TrainingLog(run.log_path, first_step) if here.first else None
    train(
        here.shared(model, device),
        experiment.defense,
        recipe,
        prepared.optimizer,
        Batches(
            prepared.images,
            recipe.batch_size,
            data.size,
            data.mirror,
            seed,
            device,
            rows,
            augmentation=data.augmentation,
            classes=len(prepared.index.classes),
            extra=(prepared.extra, data.extra.of_batch(recipe.batch_size)) if prepared.extra and data.extra else None,
        ),
        seed,
        first_step=first_step,
        log=log,
        save=partial(_save, run, prepared) if here.first else None,
        validate=partial(_validate, prepared, prepared.watched) if prepared.watched else None,
        title=f"{experiment.defense.name} {experiment.model.architecture}",
        average=prepared.average,
        here=here,
    )
    with here.together():
        if log:
            _record(run, prepared.index, log, device)


def _record(run: Run, index: Index, log: TrainingLog, device: torch.device) -> None:
    """Write the record that says training has ended, and with which weights."""
    experiment = run.experiment
    network = Network(
        run=run.folder.as_posix(),
        defense=experiment.defense.name,
        architecture=experiment.model.architecture,
        seed=experiment.seed,
        weights=run.read_checkpoint().weights_hash,
    )
    Training(
        network=network,
        selected=_selected(run, log) if run.selects else None,
        data=index.training_digest,
        iterations=experiment.training.iterations,
        seconds=sum(line["timing"]["seconds"] for line in log.lines() if "timing" in line),
        experiment=experiment.resolved(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe(device),
        atlpa=__version__,
    ).save(run.training_record)


def _selected(run: Run, log: TrainingLog) -> Selected:
    best = run.read_checkpoint("best")
    return Selected(step=best.step, weights=best.weights_hash, accuracy=log.highest(SELECTION))


def _save(run: Run, prepared: Prepared, step: int, kept: Kept) -> None:
    """Write a checkpoint; the best one holds what is judged and nothing to go on with."""
    model, average = prepared.model, prepared.average
    averaged = average.model.state_dict() if average else None
    going_on = kept == "last"
    checkpoint = Checkpoint(
        step=step,
        classes=prepared.index.classes,
        data=prepared.index.training_digest,
        experiment=run.experiment.resolved(),
        model=model.state_dict() if going_on or averaged is None else averaged,
        optimizer=optimizer_state(prepared.optimizer) if going_on else [],
        averaged=averaged if going_on else None,
    )
    save_checkpoint(checkpoint, run.path_of(kept))


def _validate(prepared: Prepared, images: Images) -> dict[str, float]:
    """Accuracy on the validation part: clean, under the recipe's attack, and under that which selects.

    What a defense makes of the recipe's attack does not matter here, so that all are watched under the same one; PGD
    with ten steps of ε/4 stands in for one that leaves the ε-ball.
    """
    experiment, average = prepared.experiment, prepared.average
    model: nn.Module = average.model if average else prepared.model
    recipe, seed = experiment.training, experiment.seed
    attack = recipe.attack
    if not attack.bounded:
        attack = PGD(epsilon=1, step=1 / 4, iterations=10).scaled(attack.epsilon)
    found = {
        "clean_accuracy": accuracy(model, images),
        "adversarial_accuracy": accuracy(model, images, attack, seed),
    }
    if recipe.select_by:
        found[SELECTION] = accuracy(model, images, recipe.select_by, seed)
    return found
