"""Finished runs, wherever in a folder they lie."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from atlpa.errors import UserError
from atlpa.records import Training
from atlpa.registry import UntrustedCode
from atlpa.runs.folder import Run


def finished_runs(folder: Path, depth: str = "**") -> list[Run]:
    """Finished runs, the newest last; what cannot be read, or names code that may not be imported, is passed over.

    Args:
        folder: where to look.
        depth: ``*`` for the runs in the folder itself, ``**`` for those at any depth.
    """
    runs = []
    for place in _finished_folders(folder, depth):
        with suppress(UserError):
            runs.append(Run.open(place))
    return runs


def newest_run(folder: Path, *, trust_code: bool = False) -> Run | None:
    """The run at any depth of a folder whose training ended last; ``None`` without one. What is damaged is passed over.

    Raises:
        UntrustedCode: it names code that may not be imported (see ``Run.open``).
    """
    for place in reversed(_finished_folders(folder, "**")):
        try:
            return Run.open(place, trust_code=trust_code)
        except UntrustedCode:
            raise
        except UserError:
            continue
    return None


def _finished_folders(folder: Path, depth: str) -> list[Path]:
    """Where trainings have ended, the last one last."""
    found: list[tuple[str, str]] = []
    for record in folder.glob(f"{depth}/records/training.json"):
        with suppress(UserError):
            found.append((Training.load(record).finished, str(record)))
    return [Path(record).parents[1] for _, record in sorted(found)]
