"""Where records lie, and where they no longer count."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path


def folders_below(folder: Path, say: Callable[[str], object]) -> Iterator[tuple[Path, list[str]]]:
    """A folder and those below it, each with the names of its files; links to folders count as files.

    What a study has set aside, under a name such as ``pat.stale-1``, is passed over, and so is what has just gone.

    Args:
        folder: where to begin.
        say: told of each folder that cannot be read.
    """

    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            say(unreadable(error))

    for place, inner, names in os.walk(folder, onerror=failed):
        links = [name for name in inner if os.path.islink(os.path.join(place, name))]
        inner[:] = sorted(name for name in inner if not set_aside(name))
        yield Path(place), sorted(names + links)


def set_aside(name: str) -> bool:
    """Whether this is what a study calls a run that it no longer means."""
    return re.fullmatch(r".+\.stale-\d+", name, re.DOTALL) is not None


def unreadable(error: OSError) -> str:
    """What could not be read, and why."""
    return f"{error.filename} cannot be read ({error.strerror})"
