"""From an experiment to a trained network in its folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

import torch

from atlpa import __version__
from atlpa.data import Batches, Index
from atlpa.errors import UserError
from atlpa.experiment import Experiment
from atlpa.machine import describe
from atlpa.processes import ALONE, Processes
from atlpa.records import Network, Selected, Training
from atlpa.records.log import collapse_step
from atlpa.runs.checkpoints import save, snapshot
from atlpa.runs.folder import Run
from atlpa.runs.lock import InUse, run_lock
from atlpa.runs.prepare import Prepared, prepare
from atlpa.runs.split import write_split
from atlpa.runs.watching import collapse_watch, validate
from atlpa.training import (
    SELECTION,
    Kept,
    SoundCheckpoint,
    Tracking,
    TrainingLog,
    train,
)
from atlpa.training.checkpoint import REMEDY

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
            names = prepared.experiment.training.trackers if here.first else ()
            tracking = held.enter_context(Tracking(names, run.folder, run.experiment.identity(), say))
        _train(run, prepared, tracking, say, here)
        return run


def _nothing(_: str) -> None:
    pass


def _existing(experiment: Experiment, say: Say, here: Processes, held: ExitStack) -> Run | None:
    """The run that is there, owned by the first process while it is not finished."""
    if not experiment.training.iterations:
        raise UserError("training.iterations 0 trains nothing; atlpa-eval --model judges a network as it is")
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
            prepared.origin.write(run)
    among = f", in {here.count} processes" if here.count > 1 else ""
    begun = f"{experiment.defense.name}, {experiment.model.architecture}, on {prepared.device}{among}"
    if resumed and prepared.origin:
        origin = prepared.origin
        begun = f"going on from {origin.run.folder} after step {resumed.step}, with its {origin.kept}{among}"
    elif resumed:
        begun = f"resuming after step {resumed.step}{among}"
    say(f"{run.folder}: {begun}")
    return run


def _must_be_seen(run: Run) -> None:
    if not (run.folder / "experiment.yaml").is_file():
        raise UserError(f"{run.folder} is not seen here; give an --output on a file system that all hosts share")


def _train(run: Run, prepared: Prepared, tracking: Tracking, say: Say, here: Processes) -> None:
    """Take the steps; what is left of them is written by the first process."""
    experiment, device, model = prepared.experiment, prepared.device, prepared.model
    data, recipe, seed = experiment.data, experiment.training, experiment.seed
    first_step = prepared.resumed.step if prepared.resumed else 0
    rows = here.rows(recipe.batch_size)
    with here.together():
        log = TrainingLog(run.log_path, first_step, tracking.note) if here.first else None
    now = partial(snapshot, run, prepared)
    if log and run.selects and (best := log.best(SELECTION)) and best.step == first_step:
        save(run, now, None, first_step, "best")  # perhaps a crash came between the two files
    sound = SoundCheckpoint(run.sound_path, now) if here.first else None
    if sound and not first_step:
        sound.forget()
    watch = collapse_watch(run, prepared, log, sound, say, here)

    def save_and_tell(step: int, kept: Kept) -> None:
        save(run, now, sound, step, kept)
        if kept == "last":
            tracking.send()

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
        save=save_and_tell if here.first else None,
        validate=partial(validate, prepared, prepared.watched) if prepared.watched else None,
        title=f"{experiment.defense.name} {experiment.model.architecture}",
        average=prepared.average,
        collapse=watch,
        here=here,
    )
    with here.together():
        if log:
            if sound and not (watch and watch.collapsed):
                sound.forget()
            _record(run, prepared.index, log, device)
            losses = [line["loss"] for line in log.lines() if "loss" in line]
            if losses and min(losses[-max(1, len(losses) // 10) :]) > losses[0]:
                rose = f"from {losses[0]:.4g} to {losses[-1]:.4g}"
                say(f"note: the loss rose {rose}; a lower training.learning_rate, or less weight of a term, may help")


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
        collapsed=collapse_step(log.lines()),
    ).save(run.training_record)


def _selected(run: Run, log: TrainingLog) -> Selected:
    kept, best = run.read_checkpoint("best"), log.best(SELECTION)
    if best is None or kept.step != best.step:
        logged = best and f"step {best.step}"
        raise UserError(f"{run.path_of('best')} is of step {kept.step}, but the log's best is {logged}; {REMEDY}")
    return Selected(step=kept.step, weights=kept.weights_hash, accuracy=best.value)
