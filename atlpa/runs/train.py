"""From an experiment to a trained network in its folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer

from atlpa import __version__
from atlpa.data import Batches, Images, Index
from atlpa.errors import UserError
from atlpa.evaluation import accuracy
from atlpa.evaluation.correctness import to_batch
from atlpa.experiment import Experiment
from atlpa.machine import describe
from atlpa.processes import ALONE, Processes
from atlpa.records import Network, Training
from atlpa.records.log import collapse_step
from atlpa.runs.folder import Run
from atlpa.runs.lock import InUse, run_lock
from atlpa.runs.prepare import Prepared, prepare
from atlpa.runs.split import write_split
from atlpa.training import (
    Checkpoint,
    CollapseWatch,
    SoundCheckpoint,
    TrainingLog,
    optimizer_state,
    save_checkpoint,
    train,
)
from atlpa.training.collapse import step_field

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
        _train(run, prepared, say, here)
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
    if not resumed:
        write_split(run.split_path, prepared.index, prepared.skipped)
    among = f", in {here.count} processes" if here.count > 1 else ""
    begun = f"{experiment.defense.name}, {experiment.model.architecture}, on {prepared.device}{among}"
    say(f"{run.folder}: " + (f"resuming after step {resumed.step}{among}" if resumed else begun))
    return run


def _must_be_seen(run: Run) -> None:
    if not (run.folder / "experiment.yaml").is_file():
        raise UserError(f"{run.folder} is not seen here; give an --output on a file system that all hosts share")


def _train(run: Run, prepared: Prepared, say: Say, here: Processes) -> None:
    """Take the steps; what is left of them is written by the first process."""
    experiment, device, model = prepared.experiment, prepared.device, prepared.model
    data, recipe, seed = experiment.data, experiment.training, experiment.seed
    first_step = prepared.resumed.step if prepared.resumed else 0
    rows = here.rows(recipe.batch_size)
    with here.together():
        log = TrainingLog(run.log_path, first_step) if here.first else None
    snapshot = partial(_checkpoint, run, prepared.index, model, prepared.optimizer)
    sound = SoundCheckpoint(run.sound_path, snapshot) if here.first else None
    if sound and not first_step:
        sound.forget()
    watch = _watch(run, prepared, log, sound, say, here)
    train(
        here.shared(model, device),
        experiment.defense,
        recipe,
        prepared.optimizer,
        Batches(prepared.images, recipe.batch_size, data.size, data.mirror, seed, device, rows),
        seed,
        first_step=first_step,
        log=log,
        save=partial(_save, run, snapshot, sound) if here.first else None,
        validate=partial(_validate, model, prepared.watched, experiment) if prepared.watched else None,
        title=f"{experiment.defense.name} {experiment.model.architecture}",
        collapse=watch,
        here=here,
    )
    with here.together():
        if log:
            if sound and not (watch and watch.collapsed):
                sound.forget()
            _record(run, prepared.index, log, device)


def _watch(
    run: Run, prepared: Prepared, log: TrainingLog | None, sound: SoundCheckpoint | None, say: Say, here: Processes
) -> CollapseWatch | None:
    """What looks for collapse, in every process, where something does."""
    experiment, recipe, sample = prepared.experiment, prepared.experiment.training, prepared.sample
    check = recipe.collapse_check(experiment.defense)
    if check is None:
        return None
    attack = experiment.defense.training_attack(recipe.attack)
    step = step_field(attack)
    place = "defense.attack" if step in experiment.defense.attack else "training.attack"
    advice = (
        f"go on from the network of before with half the step: atlpa-train --config {run.folder}/experiment.yaml "
        f"--set model.weights={run.sound_path} --set {place}.{step}={getattr(attack, step) / 2:g} "
        f"--output {run.folder}-lower"
    )
    return CollapseWatch(
        check,
        looks=max(1, recipe.iterations // check.every),
        seed=experiment.seed,
        model=prepared.model,
        batch=to_batch(sample, torch.arange(len(sample)), prepared.device) if sample else None,
        log=log,
        sound=sound,
        say=say,
        advice=advice,
        here=here,
    )


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
        data=index.digest,
        iterations=experiment.training.iterations,
        seconds=sum(line["timing"]["seconds"] for line in log.lines() if "timing" in line),
        experiment=experiment.resolved(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe(device),
        atlpa=__version__,
        collapsed=collapse_step(log.lines()),
    ).save(run.training_record)


def _checkpoint(run: Run, index: Index, model: nn.Module, optimizer: Optimizer, step: int) -> Checkpoint:
    return Checkpoint(
        step=step,
        classes=index.classes,
        data=index.digest,
        experiment=run.experiment.resolved(),
        model=model.state_dict(),
        optimizer=optimizer_state(optimizer),
    )


def _save(run: Run, snapshot: Callable[[int], Checkpoint], sound: SoundCheckpoint | None, step: int) -> None:
    """Write ``last.pt``; before it ``sound.pt``, which is thus never older than what training goes on from."""
    if sound:
        sound.write()
    save_checkpoint(snapshot(step), run.checkpoint_path)


def _validate(model: nn.Module, images: Images, experiment: Experiment) -> dict[str, float]:
    """Accuracy on the validation part: clean, and under the training attack."""
    return {
        "clean_accuracy": accuracy(model, images),
        "adversarial_accuracy": accuracy(model, images, experiment.training.attack, experiment.seed),
    }
