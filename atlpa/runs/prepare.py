"""What a training needs, found and built before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from atlpa import __version__
from atlpa.data import Images, Index, load_images, unreadable
from atlpa.data.extra import must_be_apart
from atlpa.data.images import evenly_spaced
from atlpa.errors import UserError
from atlpa.experiment import Experiment
from atlpa.machine import pick_device
from atlpa.models import Classifier
from atlpa.processes import Processes
from atlpa.records import digest
from atlpa.runs.folder import Run
from atlpa.runs.initial_weights import initial_notes, must_be_unseen
from atlpa.runs.notes import training_notes
from atlpa.runs.origin import Finished, begun
from atlpa.runs.training_attacks import check_training_attacks
from atlpa.training import AveragedModel, Checkpoint
from atlpa.training.checkpoint import REMEDY
from atlpa.training.trackers import must_be_installed


@dataclass(frozen=True)
class Prepared:
    """A training that can begin.

    Fields:
        experiment: what is done, with what it leaves to the data decided.
        run: that which is there already.
        resumed: where to go on; loaded into model and optimizer.
        origin: the run that this is from, where it is another's, with what is taken over.
        index: of the data set, without what is skipped.
        skipped: names of unreadable images → what is wrong with them.
        images: to train on.
        extra: further ones, where there are any.
        watched: the validation part, where it is not trained on; in the first process alone, which looks at it.
        sample: the images of the validation part that are looked at for a collapse, where it is watched for; likewise.
        device: where to compute.
        model: the network, on the device.
        optimizer: of the model.
        average: of its weights, where that is judged.
    """

    experiment: Experiment
    run: Run | None
    resumed: Checkpoint | None
    origin: Finished | None
    index: Index
    skipped: Mapping[str, str]
    images: Images
    extra: Images | None
    watched: Images | None
    sample: Images | None
    device: torch.device
    model: Classifier
    optimizer: Optimizer
    average: AveragedModel | None

    @property
    def facts(self) -> dict[str, object]:
        """What must be the same in all processes that train together."""
        return {
            "version of atlpa": __version__,
            "version of torch": torch.__version__,
            "experiment": digest(self.experiment.identity(), 16),
            "data": self.index.training_digest[:16],
            "run folder (whether it holds a run)": self.run is not None,
            "checkpoint": self.resumed and f"step {self.resumed.step}, {self.resumed.weights_hash[:16]}",
            "kind of device": self.device.type,
        }


def prepare(experiment: Experiment, run: Run | None, say: Callable[[str], None], here: Processes) -> Prepared:
    """Find data and checkpoint, build the network, decode the images.

    Args:
        experiment: what to do.
        run: the unfinished run that is there already, if any.
        say: told what is read and noted, a line at a time.
        here: this process among those that train together.

    Raises:
        UserError: input that a user can mend.
    """
    experiment = run.experiment if run else experiment
    data, recipe = experiment.data, experiment.training
    device = pick_device(here.device(experiment.device))
    if device.type == "cuda":
        torch.cuda.set_device(device)  # for code that says plain cuda
    part = len(here.rows(recipe.batch_size))
    resumed = run.read_checkpoint() if run and run.checkpoint_path.exists() else None
    source, origin = run, None
    if not resumed and (origin := begun(experiment)):
        source, resumed = origin.run, origin.last
    index = source.read_index(resumed.data, training=True) if source and resumed else data.training_index()
    skipped = origin.skipped if origin else {}
    if data.skip_unreadable and not resumed:
        skipped = unreadable(index)
    index = index.without(skipped)
    if index.extra and (not resumed or origin):
        must_be_apart(index.extra, [item for part in experiment.unseen_parts for item in index.parts[part]])
    items, _ = index.items(*experiment.training_parts), index.items(experiment.judged_part)
    notes = [*(source.notes() if source else []), *experiment.defense.notes(len(index.classes))]
    experiment = experiment.for_classes(len(index.classes))
    check_training_attacks(experiment, len(index.classes))
    must_be_installed(recipe.trackers)
    model = experiment.defense.build(experiment.model, len(index.classes), experiment.seed, data.size)
    synchronized = here.count > 1 and recipe.synchronized(device, experiment.defense)
    if synchronized:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # changes the layers inside
    recipe.check_parts(part, None if synchronized else model)
    if not resumed:
        must_be_unseen(experiment, index)
        notes += [*experiment.model.load_initial_weights(model, data.size), *initial_notes(experiment)]
    notes += training_notes(experiment, model, device)
    model.to(device).to(memory_format=torch.channels_last)  # the order in which convolutions are fastest
    optimizer = recipe.make_optimizer(model)
    average = AveragedModel(model, recipe.averaging, experiment.averages_from) if recipe.averaging else None
    if source and resumed:
        if resumed.classes != index.classes:
            raise UserError(f"{source.checkpoint_path} names other classes than the data; {REMEDY}")
        with source.restoring():
            resumed.resume(model, optimizer, average.model if average else None)

    trained_on = f"{len(items)} training images" + (f" and {len(index.extra)} extra ones" if index.extra else "")
    say(f"{data.name}: {trained_on} of {len(index.classes)} classes at {data.size}×{data.size}")
    if skipped:
        notes.append(f"{len(skipped)} unreadable images are left out, listed in {experiment.folder}/split.json")
    for note in notes:
        say(f"note: {note}")
    images = load_images(items, data.resize, device, f"{data.name}, training")
    extra = load_images(index.extra, data.resize, device, f"{data.name}, extra") if index.extra else None
    watch = here.first and not experiment.final
    watched = load_images(index.items("validation"), data.size, device, "validation") if watch else None
    check = recipe.collapse_check(experiment.defense)
    shown = evenly_spaced(index.items("validation"), check.images) if check and here.first else []
    sample = load_images(shown, data.size, device, "looked at for collapse") if shown else None
    return Prepared(
        experiment=experiment,
        run=run,
        resumed=resumed,
        origin=origin,
        index=index,
        skipped=skipped,
        images=images,
        extra=extra,
        watched=watched,
        sample=sample,
        device=device,
        model=model,
        optimizer=optimizer,
        average=average,
    )
