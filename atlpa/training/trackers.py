"""Trackers: other places that a training's numbers go to, line by line as they stand in its log."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from atlpa.editors import NameIn
from atlpa.errors import UserError, one_line, reason
from atlpa.field_types import FromList
from atlpa.records.log import Line
from atlpa.registry import Registry

Write = Callable[[int, Mapping[str, float]], object]
"""Is told the number of steps taken and the numbers of one line, by name: ``terms/cross_entropy``."""

Tracker = Callable[[Path, Mapping[str, Any]], AbstractContextManager[Write]]
"""Is given a run's folder and its experiment (dotted field → value); what it opens is closed when training ends."""


@contextmanager
def tensorboard(folder: Path, _experiment: Mapping[str, Any]) -> Iterator[Write]:
    """Event files in the folder ``tensorboard`` of the run."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder / "tensorboard") as writer:

        def write(step: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)
            writer.flush()  # a killed process would lose two minutes

        yield write


TRACKERS: Registry[Tracker] = Registry("tracker", "atlpa.trackers", {"tensorboard": tensorboard})
"""Name → tracker."""


def _known(name: str) -> str:
    if not callable(found := TRACKERS[name]):
        raise UserError(f"tracker {name!r} is a {type(found).__name__}; give a function of a folder and an experiment")
    return name


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"tracker {twice!r} is named twice; once is enough")
    return names


Trackers = Annotated[
    tuple[Annotated[str, AfterValidator(_known), NameIn(TRACKERS)], ...], FromList, AfterValidator(_each_once)
]
"""A field that names trackers; what is no name is refused with the nearest."""


def must_be_installed(names: Sequence[str]) -> None:
    """Look, before anything is made, for the package behind a built-in tracker.

    Raises:
        UserError: it is missing.
    """
    if "tensorboard" in names and not importlib.util.find_spec("tensorboard"):
        raise UserError("training.trackers: tensorboard needs its package; pip install 'atlpa[tensorboard]'")


class Tracking:
    """The trackers of one training, in the process that writes.

    They are told what a checkpoint holds, when it has been saved: what is lost in a crash and done again has not been
    told, so that no step comes twice, and training waits for them there alone. One that fails is said once and told no
    more, for ``log.jsonl`` has it all.

    Args:
        names: of ``TRACKERS``.
        folder: the run's.
        experiment: dotted field → value.
        say: is told of a tracker that fails.

    Raises:
        UserError: when it is entered, if a tracker cannot be opened.
    """

    def __init__(
        self, names: Sequence[str], folder: Path, experiment: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        self._names, self._given, self._say = names, (folder, experiment), say
        self._open: dict[str, ExitStack] = {}
        self._writes: dict[str, Write] = {}
        self._waiting: list[Line] = []

    def __enter__(self) -> Tracking:
        for name in self._names:
            self._open[name] = ExitStack()
            try:
                self._writes[name] = self._open[name].enter_context(TRACKERS[name](*self._given))
            except Exception as error:  # of somebody else's code, which may raise anything
                self.__exit__()
                raise UserError(f"training.trackers: {name} cannot begin: {reason(error)}") from error
        return self

    def __exit__(self, *_: object) -> None:
        for name, stack in self._open.items():
            self._try(name, stack.close)

    def note(self, line: Line) -> None:
        """Remember a line of the log."""
        self._waiting.append(line)

    def send(self) -> None:
        """Tell of all lines so far."""
        lines, self._waiting = self._waiting, []
        for name, write in list(self._writes.items()):
            self._try(name, partial(_tell, write, lines))

    def _try(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # likewise
            self._writes.pop(name, None)
            self._say(one_line(f"note: tracker {name} is told no more ({reason(error)}); log.jsonl has everything"))


def _tell(write: Write, lines: Sequence[Line]) -> None:
    for line in lines:
        write(line["step"], numbers(line))


def numbers(line: Line) -> dict[str, float]:
    """The numbers of a line of the log, by name; those of a group as ``terms/cross_entropy``."""
    found: dict[str, float] = {}
    for name, value in line.items():
        inner = value if isinstance(value, Mapping) else {"": value}
        found |= {f"{name}/{key}" if key else name: number for key, number in inner.items() if number is not None}
    return {name: float(number) for name, number in found.items() if name != "step"}
