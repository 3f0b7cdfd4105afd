"""Finished runs, wherever in a folder they lie."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from atlpa.errors import UserError
from atlpa.progress import warn
from atlpa.records import Training, folders_below
from atlpa.records.places import set_aside, unreadable
from atlpa.registry import UntrustedCode
from atlpa.runs.folder import Run


def finished_runs(folder: Path, depth: str = "**", *, trust_code: bool = False) -> list[Run]:
    """Finished runs, the newest last.

    What cannot be read, or names code that may not be imported, is left out, with a line on standard error; what a
    study has set aside is passed over.

    Args:
        folder: where to look.
        depth: ``*`` for the runs in the folder itself, ``**`` for those at any depth.
        trust_code: see ``Run.open``.
    """
    runs = []
    for place in _finished_folders(folder, depth):
        try:
            runs.append(Run.open(place, trust_code=trust_code))
        except UserError as error:
            _leave_out(error)
    return runs


def newest_run(folder: Path, *, trust_code: bool = False) -> Run | None:
    """The run at any depth of a folder whose training ended last; ``None`` without one. What is damaged is left out.

    Raises:
        UntrustedCode: it names code that may not be imported (see ``Run.open``).
    """
    for place in reversed(_finished_folders(folder, "**")):
        try:
            return Run.open(place, trust_code=trust_code)
        except UntrustedCode:
            raise
        except UserError as error:
            _leave_out(error)
    return None


def _finished_folders(folder: Path, depth: str) -> list[Path]:
    """Where trainings have ended, the last one last."""
    found: list[tuple[str, str]] = []
    for place in _folders(folder) if depth == "*" else (place for place, _ in folders_below(folder, _leave_out)):
        record = place / "records" / "training.json"
        try:
            record.lstat()
            found.append((Training.load(record).finished, str(place)))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            _leave_out(unreadable(error))
        except UserError as error:
            _leave_out(error)
    return [Path(place) for _, place in sorted(found)]


def _folders(folder: Path) -> Iterator[Path]:
    """Those in a folder itself."""
    try:
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        _leave_out(unreadable(error))
        return
    yield from (place for place in inside if not set_aside(place.name))


def _leave_out(problem: object) -> None:
    _say(f"left out: {problem}")


@cache
def _say(line: str) -> None:
    """Once in a process: every network that is judged looks at the same neighbors."""
    warn(line)
