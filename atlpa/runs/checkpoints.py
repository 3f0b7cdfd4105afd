"""What a run keeps of its networks: where training stands, the best so far, and the last sound one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from atlpa.runs.folder import Run
from atlpa.runs.prepare import Prepared
from atlpa.training import Checkpoint, Kept, SoundCheckpoint, optimizer_state, save_checkpoint


def snapshot(run: Run, prepared: Prepared, step: int) -> Checkpoint:
    """Everything that training goes on with."""
    return Checkpoint(
        step=step,
        classes=prepared.index.classes,
        data=prepared.index.training_digest,
        experiment=run.experiment.resolved(),
        model=prepared.model.state_dict(),
        optimizer=optimizer_state(prepared.optimizer),
        averaged=prepared.average.model.state_dict() if prepared.average else None,
    )


def save(run: Run, now: Callable[[int], Checkpoint], sound: SoundCheckpoint | None, step: int, kept: Kept) -> None:
    """Write a checkpoint; ``last.pt`` behind ``sound.pt``, which is thus no older than what training goes on from."""
    checkpoint = now(step)
    if kept == "best":  # the judged network, and nothing to go on with
        checkpoint = replace(checkpoint, model=checkpoint.network, optimizer=[], averaged=None)
    elif sound:
        sound.write()
    save_checkpoint(checkpoint, run.path_of(kept))
