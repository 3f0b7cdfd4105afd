"""Going on from a finished run: the experiment that extends it, and the state that it begins with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atlpa.component import dump
from atlpa.dotted import differences, set_field
from atlpa.errors import UserError
from atlpa.experiment import Experiment, Origin, parse
from atlpa.files import write_text
from atlpa.records.log import Line, read_log
from atlpa.runs.folder import Run
from atlpa.runs.split import read_skipped
from atlpa.training import Checkpoint, save_checkpoint

MAY_DIFFER = ("training.", "defense.", "origin.", "name")
"""What an extension may change; the network and the images stay what they are."""

MUST_STAY = (
    "training.select_by",
    "training.optimizer",
    "training.decay_biases",
    "defense.denoise",
    "defense.noise",
    "defense.randomize",
)
"""But for what earlier looks at the validation part, which still count, were made with, for what the optimizer keeps of
each parameter and in which order, and for the network's layers."""

COLLAPSE = ("collapse", "collapsed", "kept")
"""What a log says of looks for collapse. They belong to one training: the network they compare with is not kept."""


@dataclass(frozen=True)
class Finished:
    """A finished run, read before anything is written, with what its extension takes over.

    Fields:
        run: the finished one.
        last: where it ended, as a checkpoint of the extension.
        best: its best network, where it selects one, likewise.
        log: its lines.
        skipped: names of the images that it left out → what was wrong with them.
    """

    run: Run
    last: Checkpoint
    best: Checkpoint | None
    log: Sequence[Line]
    skipped: Mapping[str, str]

    @property
    def kept(self) -> str:
        """What is gone on with beside the network."""
        averaged = self.last.averaged and self.run.experiment.training.averaging
        return "optimizer and averaged weights" if averaged else "optimizer"

    def write(self, run: Run) -> None:
        """Bring log and best network into the extension's folder."""
        lines = [{key: value for key, value in line.items() if key not in COLLAPSE} for line in self.log]
        write_text(run.log_path, "".join(json.dumps(line) + "\n" for line in lines if line.keys() != {"step"}))
        if self.best:
            save_checkpoint(self.best, run.path_of("best"))


def extension(run: Run, changes: Sequence[tuple[str, Any]]) -> Experiment:
    """The experiment that goes on where a finished run ended.

    Args:
        run: the finished run.
        changes: (dotted field, value), applied in order; among them more ``training.iterations``.

    Raises:
        UserError: it has not finished, or the changes are not those of an extension; each is named.
    """
    fields = {name: value for name, value in run.experiment.resolved().items() if name not in ("code", "output")}
    origin = Origin(
        run=str(run.folder),
        step=run.training.iterations,
        weights=run.training.network.weights,
        averaged=run.experiment.steps_averaged,
    )
    fields["origin"] = dump(origin)
    for dotted, value in changes:
        set_field(fields, dotted, value)
    experiment = parse(fields)
    if experiment.origin != origin:
        raise UserError(f"the origin is {run.folder}; leave --set origin out")
    _must_extend(run, experiment)
    return experiment


def _must_extend(run: Run, experiment: Experiment) -> None:
    """Refuse an experiment that is no extension of a run.

    Raises:
        UserError: the run has not finished, or as late; or what may not change has changed, all of it named.
    """
    done = run.training.iterations
    if experiment.training.iterations <= done:
        raise UserError(
            f"{run.folder} has {done} iterations; say how far to go on: --set training.iterations=N, a larger number"
        )
    before, after = run.experiment.identity(), experiment.identity()
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    other = {key for key in changed if not key.startswith(MAY_DIFFER) or key.startswith(MUST_STAY)}
    recipe = experiment.training
    if recipe.optimizer == "sgd" and bool(recipe.momentum) != bool(run.experiment.training.momentum):
        other.add("training.momentum")  # without one SGD keeps nothing
    told = [differences({key: before.get(key) for key in other}, {key: after.get(key) for key in other})]
    there, here = run.experiment.defense, experiment.defense
    if there.undefended != here.undefended:  # weights that a defense has shaped make no undefended network
        told.append(f"whether there is a defense ({there.name} there, {here.name} now)")
    if cannot := ", ".join(filter(None, told)):
        raise UserError(
            f"an extension of {run.folder} cannot change {cannot}; to train another network, begin a new run, with "
            f"--set origin=null where the --config has one; from these weights with --set model.weights={run.folder}"
        )


def begun(experiment: Experiment) -> Finished | None:
    """The run that an experiment goes on from; ``None`` without one.

    Raises:
        UserError: it is not there any more, not what it was, or the experiment is no extension of it.
    """
    if not (origin := experiment.origin):
        return None
    try:
        run = Run.open(Path(origin.run))
        last = run.read_checkpoint()
        best = run.read_checkpoint("best") if run.selects else None
        log = read_log(run.log_path) if run.log_path.is_file() else []
        skipped = read_skipped(run.split_path) if run.split_path.is_file() else {}
    except UserError as error:
        raise UserError(f"origin.run: {error}") from error
    wanted = {"step": origin.step, "weights": origin.weights[:8], "averaged": origin.averaged}
    there = {"step": last.step, "weights": last.weights_hash[:8], "averaged": run.experiment.steps_averaged}
    if differing := differences(there, wanted):
        raise UserError(f"origin.run: {run.path_of('last')} is not what this training goes on from: {differing}")
    _must_extend(run, experiment)
    run = replace(run, experiment=replace(run.experiment, data=experiment.data))  # the same images, perhaps elsewhere
    own = experiment.resolved()
    averaged = last.network if experiment.training.averaging else None
    return Finished(
        run=run,
        last=replace(last, experiment=own, averaged=averaged),
        best=best and replace(best, experiment=own),
        log=log,
        skipped=skipped,
    )
