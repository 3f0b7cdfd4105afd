"""Whether something is on record already, and whether it can be put there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from atlpa.errors import UserError
from atlpa.files import unwritable_file
from atlpa.records import MeasuredRecord, Network

SomeRecord = TypeVar("SomeRecord", bound=MeasuredRecord)


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
