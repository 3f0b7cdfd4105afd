"""Going on from a finished run: the experiment that extends it, and the state that it begins with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from atlpa.dotted import set_field
from atlpa.errors import UserError
from atlpa.experiment import Experiment, Origin, differences, parse
from atlpa.files import write_text
from atlpa.records.log import read_log
from atlpa.runs.folder import Run
from atlpa.training import Checkpoint, save_checkpoint

MAY_DIFFER = ("training.", "defense.", "origin.", "name")
"""What an extension may change; the network and the images stay what they are."""

MUST_STAY = ("training.select_by", "defense.denoise", "defense.noise", "defense.randomize")
"""But for what earlier looks at the validation part, which still count, were made with, and for its layers."""


def extension(run: Run, changes: Sequence[tuple[str, Any]]) -> Experiment:
    """The experiment that goes on where a finished run ended.

    Args:
        run: the finished run.
        changes: (dotted field, value), applied in order; among them more ``training.iterations``.

    Raises:
        UserError: it has not finished, or the changes are not those of an extension; each is named.
    """
    done = run.training.iterations
    fields = {name: value for name, value in run.experiment.resolved().items() if name not in ("code", "output")}
    fields["origin"] = {"run": str(run.folder), "step": done, "weights": run.training.network.weights}
    for dotted, value in changes:
        set_field(fields, dotted, value)
    experiment = parse(fields)
    if experiment.training.iterations <= done:
        raise UserError(
            f"{run.folder} has {done} iterations; say how far to go on: --set training.iterations=N, a larger number"
        )
    before, after = run.experiment.identity(), experiment.identity()
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if other := sorted(key for key in changed if not key.startswith(MAY_DIFFER) or key.startswith(MUST_STAY)):
        told = differences({key: before.get(key) for key in other}, {key: after.get(key) for key in other})
        raise UserError(
            f"an extension of {run.folder} cannot change {told}; to train another network from its weights, begin a "
            f"new run with --set model.weights={run.folder}"
        )
    return experiment


def begun(experiment: Experiment) -> tuple[Run, Checkpoint] | None:
    """The run that an experiment goes on from, with its last checkpoint as the experiment's own; ``None`` without one.

    Raises:
        UserError: it is not there any more, or not what it was.
    """
    if not (origin := experiment.origin):
        return None
    try:
        run = Run.open(Path(origin.run))
        checkpoint = run.read_checkpoint()
    except UserError as error:
        raise UserError(f"origin.run: {error}") from error
    here = Origin(run=origin.run, step=checkpoint.step, weights=checkpoint.weights_hash)
    if here != origin:
        raise UserError(
            f"origin.run: {run.path_of('last')} is not what this training goes on from: step {here.step}, weights "
            f"{here.weights[:8]}, not {origin.step}, {origin.weights[:8]}"
        )
    run = replace(run, experiment=replace(run.experiment, data=experiment.data))  # the same images, perhaps elsewhere
    averaged = checkpoint.network if experiment.training.averaging else None
    return run, replace(checkpoint, experiment=experiment.resolved(), averaged=averaged)


def take_over(origin: Run, run: Run) -> None:
    """Bring what a run keeps beside its last checkpoint into its extension's folder: its log and its best network."""
    if origin.log_path.is_file():
        write_text(run.log_path, "".join(json.dumps(line) + "\n" for line in read_log(origin.log_path)))
    if run.selects:
        best = replace(origin.read_checkpoint("best"), experiment=run.experiment.resolved())
        save_checkpoint(best, run.path_of("best"))
