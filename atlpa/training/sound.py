"""The checkpoint of the network that withstood PGD best: kept in memory, written where training can go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from atlpa.errors import UserError
from atlpa.training.checkpoint import Checkpoint, State
from atlpa.training.checkpoint_file import load_checkpoint, save_checkpoint


class SoundCheckpoint:
    """``sound.pt`` of a run, written together with ``last.pt`` alone, so that a resumed training has what it had there.

    Args:
        path: the file.
        snapshot: the checkpoint of now, after so many steps; its tensors may be those in training.
    """

    def __init__(self, path: Path, snapshot: Callable[[int], Checkpoint]) -> None:
        self.path, self._snapshot = path, snapshot
        self._kept: Checkpoint | None = None

    def note(self, step: int) -> None:
        """Keep the state of now in place of the one before."""
        now = self._snapshot(step)
        self._kept = replace(
            now,
            model=_copied(now.model),
            optimizer=[_copied(state) for state in now.optimizer],
            averaged=now.averaged and _copied(now.averaged),
        )

    def model(self) -> State:
        """The network's state that was noted last, by this process or by one before it."""
        return (self._kept or load_checkpoint(self.path)).model

    def holds(self, step: int) -> bool:
        """Whether a process before this one left the network of that step.

        It did not where a crash came between two files, or where this run extends another, which keeps its own.
        """
        try:
            return load_checkpoint(self.path).step == step
        except UserError:
            return False

    def write(self) -> None:
        """Write what was noted since the last time, if anything was."""
        if self._kept:
            save_checkpoint(self._kept, self.path)
            self._kept = None  # it is on disk

    def forget(self) -> None:
        """Remove what is of no use: of a training that began anew, or that ended sound."""
        self.path.unlink(missing_ok=True)
        self._kept = None


def _copied(state: State) -> State:
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
