"""A network that was trained elsewhere, as a run of no steps: judged, checked, reported and bundled like any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from atlpa import __version__
from atlpa.data.images import InMemory
from atlpa.errors import PlaceTaken, UserError, shown
from atlpa.evaluation.admission import check_logits
from atlpa.experiment import Experiment
from atlpa.machine import describe
from atlpa.models import Classifier, weights_file
from atlpa.records import Network, Training
from atlpa.runs.export_formats import told_of
from atlpa.runs.folder import Run
from atlpa.runs.lock import run_lock
from atlpa.runs.split import write_split
from atlpa.training import Checkpoint
from atlpa.training.checkpoint_file import save_checkpoint

ELSEWHERE = "remove it, or choose another folder with --set output=DIR"


def adopt(experiment: Experiment, say: Callable[[str], None] = print) -> Run:
    """The run of a network as its file holds it, made where it is not there yet.

    Args:
        experiment: the network, its weights and the data that it is judged on; its training takes no steps.
        say: told what is noted, a line at a time.

    Raises:
        UserError: the weights do not fit the network, or the network not the data's classes; or the folder holds
            another network, as where the file has changed since.
    """
    try:
        run = Run.existing(experiment)
    except PlaceTaken as taken:
        raise PlaceTaken(taken.problem, ELSEWHERE) from taken
    if run and run.finished:
        _must_lie_there(run.folder, experiment)
    index = experiment.data.index()
    _must_mean(experiment, index.classes)
    classes = len(index.classes)
    model = experiment.defense.build(experiment.model, classes, experiment.seed, experiment.data.size)
    for note in experiment.model.load_initial_weights(model, experiment.data.size, whole=True):
        say(f"note: {note}")
    for note in _asked(model.eval(), experiment, index.classes):
        say(f"note: {note}")
    checkpoint = Checkpoint(
        step=0,
        classes=index.classes,
        data=index.training_digest,
        experiment=experiment.resolved(),
        model=model.state_dict(),
        optimizer=[],
    )
    if run and run.finished:
        if run.network.weights != checkpoint.weights_hash:
            raise UserError(f"{run.folder} holds another network than {experiment.model.weights} does now; {ELSEWHERE}")
        return run
    experiment.folder.mkdir(parents=True, exist_ok=True)
    with run_lock(experiment.folder, say):
        run = Run.create(experiment)
        write_split(run.split_path, index, {})
        save_checkpoint(checkpoint, run.checkpoint_path)
        network = Network(
            run=run.folder.as_posix(),
            defense=experiment.defense.name,
            architecture=experiment.model.architecture,
            seed=experiment.seed,
            weights=checkpoint.weights_hash,
        )
        Training(
            network=network,
            data=checkpoint.data,
            iterations=0,
            seconds=0.0,
            experiment=experiment.resolved(),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=describe(torch.device("cpu")),
            atlpa=__version__,
        ).save(run.training_record)
    return run


def _asked(model: Classifier, experiment: Experiment, classes: Sequence[str]) -> list[str]:
    """What a network's answer to two gray images says of it.

    Raises:
        UserError: it gives no logits for images of this size, or not one for each class of the data.
    """
    gray, name = torch.full((2, 3, experiment.data.size, experiment.data.size), 0.5), experiment.model.architecture
    try:
        own = check_logits(model, InMemory(gray, torch.zeros(2, dtype=torch.long)), f"network {name}")
    except ValueError as error:
        raise UserError(f"{error}{'; --size sets the side of the images' if error.__cause__ else ''}") from error
    if own != len(classes):
        raise UserError(f"{name} tells {own} classes apart, and the data has {len(classes)}: {_listed(classes)}")
    with torch.no_grad():
        answers = model(gray)
    shares = bool((answers >= 0).all()) and torch.allclose(answers.sum(dim=1), torch.ones(2), atol=1e-4)
    how = model.normalization
    mean, std = (" ".join(f"{value:.3g}" for value in part) for part in (how.mean, how.std))
    told = f"images of {experiment.data.size}×{experiment.data.size}, normalized by mean {mean} and deviation {std}"
    notes = [f"{name}: {told}; its logits are taken for {_listed(classes)}, in this order"]
    hidden = "it seems to give probabilities, on which gradients vanish: give the network without its softmax"
    return [*notes, f"{name}: {hidden}"] if shares else notes


def _listed(classes: Sequence[str]) -> str:
    return ", ".join([*classes[:4], *(["…", classes[-1]] if len(classes) > 4 else [])])


def _must_mean(experiment: Experiment, classes: Sequence[str]) -> None:
    """Refuse weights whose export tells other classes than the data has, though as many."""
    file = weights_file(experiment.model.weights)
    told = told_of(file) if file else None
    if told and len(told.classes) == len(classes):
        other = [(own, here) for own, here in zip(told.classes, classes, strict=True) if own != here]
        if other:
            own, here = (shown(name) for name in other[0])
            raise UserError(
                f"{file} tells other classes apart than the data has: {own} where that has {here}, {len(other)} of "
                f"{len(classes)} in all; name the folders as the export names its classes"
            )


def _must_lie_there(folder: Path, experiment: Experiment) -> None:
    """Refuse images of another place, which what is on record says nothing of, though they be called the same."""
    roots = [getattr(one.data, "root", None) for one in (Run.open(folder).experiment, experiment)]
    before, now = (Path(root or ".").resolve() for root in roots)
    if before != now:
        raise UserError(f"{folder} was judged on the images in {before}, not on those in {now}; {ELSEWHERE}")
