"""Where something is on record, whether it is already, and whether it can be put there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from atlpa import __version__
from atlpa.errors import UserError
from atlpa.files import unwritable_file
from atlpa.records import MeasuredRecord, Network, digest
from atlpa.runs.folder import Run

SomeRecord = TypeVar("SomeRecord", bound=MeasuredRecord)


def record_path(run: Run, title: str, determined_by: Mapping[str, Any]) -> Path:
    """The file of a record of what was measured on a run's network, on the part that it is judged on.

    Args:
        run: which network.
        title: what it is, at the beginning of the name.
        determined_by: what else determines it, as plain values; a digest of everything ends the name.
    """
    everything = {
        "target": run.network.weights,
        "data": run.training.data,
        "part": run.experiment.judged_part,
        "atlpa": __version__,
        **determined_by,
    }
    which = f"{run.judged}-" if run.selects else ""
    return run.records / f"{which}{title}-{digest(everything, 8)}.json"


def on_record(kind: type[SomeRecord], path: Path, target: Network) -> SomeRecord | None:
    """What was measured on a network, at the place of its record; ``None`` where nothing is.

    Raises:
        UserError: what lies there is no such record, or one of another network.
    """
    if not os.path.lexists(path):
        return None
    try:
        record = kind.load(path)
    except UserError as error:
        raise UserError(f"{error}; measure it anew with --again, or remove the file") from error
    if record.target.weights != target.weights:
        theirs = f"{record.target.weights[:8]}, not {target.weights[:8]}"
        raise UserError(f"{path} is of other weights ({theirs}); measure it anew with --again, or remove the file")
    return record


def check_place(path: Path) -> None:
    """Look, before anything is measured, whether its record can be written.

    Raises:
        UserError: it cannot.
    """
    if problem := unwritable_file(path):
        raise UserError(f"{path} cannot be written: {problem}")
