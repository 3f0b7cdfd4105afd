"""Where things lie in a run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from atlpa.training import Kept


@dataclass(frozen=True)
class Places:
    """The files of a run.

    Fields:
        folder: which holds them.
    """

    folder: Path

    @property
    def checkpoint_path(self) -> Path:
        """The checkpoint of where training stands."""
        return self.path_of("last")

    def path_of(self, kept: Kept) -> Path:
        """The checkpoint of where training stands, or of the best network so far."""
        return self.folder / f"{kept}.pt"

    @property
    def sound_path(self) -> Path:
        """The checkpoint of the network that withstood PGD best before a collapse; kept where one was seen."""
        return self.folder / "sound.pt"

    @property
    def log_path(self) -> Path:
        """The training log."""
        return self.folder / "log.jsonl"

    @property
    def records(self) -> Path:
        """Where the run's records lie."""
        return self.folder / "records"

    @property
    def split_path(self) -> Path:
        """Which image is in which part, and which were skipped, written before training begins."""
        return self.folder / "split.json"

    @property
    def training_record(self) -> Path:
        """Written when training ends."""
        return self.records / "training.json"

    @property
    def finished(self) -> bool:
        """Whether training has ended."""
        return self.training_record.is_file()
