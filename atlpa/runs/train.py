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
from atlpa.data import Batches, Images, Index, load_images, unreadable
from atlpa.errors import UserError
from atlpa.evaluation import accuracy
from atlpa.experiment import Experiment
from atlpa.machine import describe, pick_device
from atlpa.records import Network, Training
from atlpa.runs.folder import Run
from atlpa.runs.lock import run_lock
from atlpa.runs.notes import training_notes
from atlpa.runs.split import write_split
from atlpa.training import Checkpoint, TrainingLog, optimizer_state, save_checkpoint, train
from atlpa.training.checkpoint import REMEDY


def train_run(experiment: Experiment, say: Callable[[str], None] = print) -> Run:
    """Train an experiment's network, or go on where it was left, or find it finished.

    Everything that can be wrong with the input is found before the folder is made; only the pictures of a set too large
    to be held decoded are opened as they are needed (``data.skip_unreadable`` opens them all first). Meanwhile this
    process owns the folder.

    Args:
        experiment: what to do.
        say: told what is read, built and left, a line at a time.

    Raises:
        UserError: input that a user can mend; another process trains there.
        Interrupted: a signal came; the state was saved.
    """
    with ExitStack() as held:
        return _train_run(experiment, say, held)


def _train_run(experiment: Experiment, say: Callable[[str], None], held: ExitStack) -> Run:
    experiment.resolved()  # what could not be written down is refused before any work
    run = Run.existing(experiment)
    if run and not run.finished:
        held.enter_context(run_lock(run.folder, say))
    if run and run.finished:
        say(f"{run.folder} is finished: {experiment.training.iterations} iterations")
        return run
    experiment = run.experiment if run else experiment
    data, recipe = experiment.data, experiment.training
    device = pick_device(experiment.device)
    resumed = run.read_checkpoint() if run and run.checkpoint_path.exists() else None
    index = run.read_index(resumed.data) if run and resumed else data.index()
    skipped = unreadable(index) if data.skip_unreadable and not resumed else {}
    index = index.without(skipped)
    items, _ = index.items(*experiment.training_parts), index.items(experiment.judged_part)
    notes = [*(run.code_notes() if run else []), *experiment.defense.notes(len(index.classes))]
    experiment = experiment.for_classes(len(index.classes))
    model = experiment.defense.build(experiment.model, len(index.classes), experiment.seed, data.size)
    if not resumed:
        notes += experiment.model.load_initial_weights(model, data.size)
    notes += training_notes(experiment, model, device)
    model.to(device).to(memory_format=torch.channels_last)  # the order in which convolutions are fastest
    optimizer = recipe.optimizer(model)
    if run and resumed:
        if resumed.classes != index.classes:
            raise UserError(f"{run.checkpoint_path} names other classes than the data; {REMEDY}")
        run.restore(resumed, model, optimizer)

    say(f"{data.name}: {len(items)} training images of {len(index.classes)} classes at {data.size}×{data.size}")
    if skipped:
        notes.append(f"{len(skipped)} unreadable images are left out, listed in {experiment.folder}/split.json")
    for note in notes:
        say(f"note: {note}")
    images = load_images(items, data.resize, device, f"{data.name}, training")
    watched = None if experiment.final else load_images(index.items("validation"), data.size, device, "validation")

    if not run:
        held.enter_context(run_lock(experiment.folder, say))
        if Run.existing(experiment):
            raise UserError(
                f"{experiment.folder} was begun by another process meanwhile; the same command goes on there"
            )
        run = Run.create(experiment)
    if not resumed:
        write_split(run.split_path, index, skipped)
    if resumed:
        say(f"{run.folder}: resuming after step {resumed.step}")
    else:
        say(f"{run.folder}: {experiment.defense.name}, {experiment.model.architecture}, on {device}")
    first_step = resumed.step if resumed else 0

    log = TrainingLog(run.log_path, first_step)
    train(
        model,
        experiment.defense,
        recipe,
        optimizer,
        Batches(images, recipe.batch_size, data.size, data.mirror, experiment.seed, device),
        experiment.seed,
        first_step=first_step,
        log=log,
        save=partial(_save, run, index, model, optimizer),
        validate=None if watched is None else partial(_validate, model, watched, experiment),
        title=f"{experiment.defense.name} {experiment.model.architecture}",
    )
    _record(run, index, log, device)
    return run


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
    ).save(run.training_record)


def _save(run: Run, index: Index, model: nn.Module, optimizer: Optimizer, step: int) -> None:
    checkpoint = Checkpoint(
        step=step,
        classes=index.classes,
        data=index.digest,
        experiment=run.experiment.resolved(),
        model=model.state_dict(),
        optimizer=optimizer_state(optimizer),
    )
    save_checkpoint(checkpoint, run.checkpoint_path)


def _validate(model: nn.Module, images: Images, experiment: Experiment) -> dict[str, float]:
    """Accuracy on the validation part: clean, and under the training attack."""
    return {
        "clean_accuracy": accuracy(model, images),
        "adversarial_accuracy": accuracy(model, images, experiment.training.attack, experiment.seed),
    }
